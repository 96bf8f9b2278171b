/** A machine that goes down: logind is a stand-in of two scripts, everything else is real. */
import assert from "node:assert/strict";
import { access, chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { after, before } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { core } from "@knarr/api/generated/resources.ts";
import { isolatedTest } from "@knarr/testkit/isolated-test.ts";
import { condition, NODE, shell, statusOf, TestNode, WAIT } from "./test-node.ts";

if (await isolatedTest(import.meta)) {
  let node: TestNode;
  let directory: string;
  const at = (name: string) => join(directory, name);

  const script = async (name: string, text: string) => {
    await writeFile(at(name), `#!/bin/sh\n${text}\n`);
    await chmod(at(name), 0o755);
  };
  const isThere = (name: string) =>
    access(at(name)).then(
      () => true,
      () => false,
    );

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), "knarr-logind-"));
    const signal = '{"type":"signal","member":"PrepareForShutdown","payload":{"type":"b","data":[true]}}';
    const watch = `while [ -e "${at("on")}" ]; do [ -e "${at("down")}" ] && echo '${signal}' && break; sleep 0.1; done; exec sleep 600`;
    await writeFile(at("on"), "");
    await script("busctl", `case "$*" in *get-property*) echo "t 30000000";; *) ${watch};; esac`);
    await script(
      "systemd-inhibit",
      `trap 'rm -f "${at("lock")}"; kill $!; exit 0' TERM; touch "${at("lock")}"; sleep 600 & wait $!`,
    );
    const config = {
      apiVersion: "kubelet.config.k8s.io/v1beta1",
      kind: "KubeletConfiguration",
      shutdownGracePeriod: "20s",
      shutdownGracePeriodCriticalPods: "5s",
    };
    await writeFile(at("kubelet.json"), JSON.stringify(config));
    process.env.PATH = `${directory}:${process.env.PATH}`;
    node = await TestNode.start({ subnet: "10.88.35.0/24", args: [`--config=${at("kubelet.json")}`] });
  });
  after(async () => {
    await node.stop();
    await rm(directory, { recursive: true, force: true });
  });

  const until = async (what: string, probe: () => Promise<boolean>) => {
    for (let attempt = 0; attempt < 1200; attempt++) {
      if (await probe()) return;
      await sleep(50);
    }
    assert.fail(`never happened: ${what}\n${node.kubelet.output().slice(-2000)}`);
  };

  test("before the machine goes down pods are ended with upstream's words, and only then is it let go", async () => {
    await until("the kubelet holds the lock", () => isThere("lock"));
    await node.create("worker", {
      containers: [shell("main", `trap 'sleep 2; exit 3' TERM; echo up; while :; do sleep 1; done`)],
      terminationGracePeriodSeconds: 10,
    });
    await node.ready("worker");
    await node.untilLog("worker", "up\n");
    await writeFile(at("down"), "");
    const pod = await node.until("worker", "failed", (p) => p.status?.phase === "Failed");
    assert.deepEqual(
      [pod.status?.reason, pod.status?.message],
      ["Terminated", "Pod was terminated in response to imminent node shutdown."],
    );
    assert.equal(statusOf(pod, "main").state?.terminated?.exitCode, 3, "it had its grace");
    assert.equal(condition(pod, "DisruptionTarget")?.reason, "TerminationByKubelet");
    await until("the lock is given up", async () => !(await isThere("lock")));
    await until("the node says that it is shutting down", async () => {
      const { status } = await node.client.get(core.nodes, { namespace: "", name: NODE });
      const ready = status?.conditions?.find((c) => c.type === "Ready");
      return ready?.status === "False" && ready.message === "node is shutting down";
    });
    await node.create("late", { containers: [shell("main", WAIT)] });
    const late = await node.until("late", "is refused", (p) => p.status?.phase === "Failed");
    assert.equal(late.status?.reason, "NodeShutdown");
    assert.equal(late.status?.message, "Pod was rejected: Pod was rejected as the node is shutting down.");
    for (const name of ["worker", "late"]) await node.remove(name);
  });
}
