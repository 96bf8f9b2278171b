/** The kubelet by itself: static pods on a real containerd, its restart, and what a pod leaves behind (nothing). */
import assert from "node:assert/strict";
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import test, { after, before } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { openRuntime } from "@knarr/cri/open-runtime.ts";
import type { Runtime } from "@knarr/cri/runtime.ts";
import { isolatedTest, removeCgroups } from "@knarr/testkit/isolated-test.ts";
import { startContainerd, type TestContainerd } from "@knarr/testkit/start-containerd.ts";
import { startKubelet, type TestKubelet } from "./start-kubelet.ts";

const manifest = (name: string, script: string, more = "") => `
apiVersion: v1
kind: Pod
metadata: { name: ${name} }
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - name: main
      image: knarr.local/busybox:1
      command: [/bin/sh, -c, ${JSON.stringify(script)}]
${more}`;

async function until<T>(what: string, probe: () => Promise<T | undefined | false>): Promise<T> {
  for (let attempt = 0; attempt < 1200; attempt++) {
    const value = await probe();
    if (value !== undefined && value !== false) return value;
    await sleep(50);
  }
  throw new Error(`never happened: ${what}`);
}

if (await isolatedTest(import.meta)) {
  const cgroupRoot = `/knarr-test-${process.ppid}-${Date.now()}`;
  let containerd: TestContainerd;
  let kubelet: TestKubelet;
  let runtime: Runtime;
  before(async () => {
    containerd = await startContainerd({ subnet: "10.88.8.0/24" });
    runtime = await openRuntime(containerd.endpoint);
    kubelet = await startKubelet({
      directory: join(containerd.directory, "node"),
      endpoint: containerd.endpoint,
      cgroupRoot,
    });
  });
  after(async () => {
    if (process.env.KNARR_SHOW_OUTPUT !== undefined) process.stderr.write(kubelet.output());
    await kubelet.stop();
    runtime.close();
    await containerd.stop();
    await removeCgroups(cgroupRoot);
  });

  const containersOf = async (pod: string) =>
    (await runtime.listContainers()).filter((c) => c.labels["io.kubernetes.pod.name"] === `${pod}-node-1`);
  const running = async (pod: string) => (await containersOf(pod)).find((c) => c.state === "running");

  test("a static pod runs in the cgroup of its QoS class, with its hosts file and resolver", async () => {
    await writeFile(join(kubelet.manifests, "a.yaml"), manifest("a", "cat /etc/hosts /etc/resolv.conf; sleep 1000"));
    const container = await until("pod a runs", () => running("a"));
    const logs = join(
      kubelet.logDir,
      (await readdir(kubelet.logDir)).find((n) => n.startsWith("default_a-node-1_")) ?? "",
    );
    const text = await until("the log has it all", async () => {
      const content = await readFile(join(logs, "main", "0.log"), "utf8").catch(() => "");
      return content.includes("nameserver") && content;
    });
    assert.match(text, /10\.88\.8\.\d+\ta-node-1/);
    assert.match(text, /nameserver 10\.96\.0\.10/);
    assert.match(text, /search default\.svc\.cluster\.local svc\.cluster\.local cluster\.local/);
    const status = await runtime.containerStatus(container.id);
    assert.equal(status.state, "running");
    assert.ok(
      (await readdir(`/sys/fs/cgroup/memory${cgroupRoot}/kubepods/besteffort`)).some((n) => n.startsWith("pod")),
    );
  });

  test("a container that ends is started again, and its count kept in the annotation", async () => {
    await writeFile(join(kubelet.manifests, "b.yaml"), manifest("b", "exit 1"));
    await until("a second container of pod b", async () =>
      (await containersOf("b")).some((c) => c.annotations["io.kubernetes.container.restartCount"] === "1"),
    );
    await rm(join(kubelet.manifests, "b.yaml"));
    await until("pod b is gone", async () => (await containersOf("b")).length === 0);
  });

  test("a restarted kubelet adopts what runs and restarts nothing", async () => {
    const before = await until("pod a runs", () => running("a"));
    await kubelet.kill();
    await kubelet.restart();
    await sleep(1500);
    const now = await containersOf("a");
    assert.deepEqual(
      now.map((c) => [c.id, c.state]),
      [[before.id, "running"]],
    );
  });

  test("a manifest that is half written does not end the pod that it was", async () => {
    const before = await until("pod a runs", () => running("a"));
    await writeFile(join(kubelet.manifests, "a.yaml"), "apiVersion: v1\nkind: Pod\nmetadata: { na");
    await until("the kubelet has looked", async () => kubelet.output().includes("not a static pod"));
    assert.equal((await running("a"))?.id, before.id);
  });

  test("a pod whose manifest went while the kubelet was away is ended, and leaves nothing", async () => {
    await kubelet.kill();
    await rm(join(kubelet.manifests, "a.yaml"));
    await kubelet.restart();
    await until("no sandbox is left", async () => (await runtime.listSandboxes()).length === 0);
    await until("no folder is left", async () => (await readdir(join(kubelet.rootDir, "pods"))).length === 0);
    await until("no log is left", async () => (await readdir(kubelet.logDir)).length === 0);
    await until("no cgroup is left", async () =>
      (await readdir(`/sys/fs/cgroup/memory${cgroupRoot}/kubepods/besteffort`)).every((n) => !n.startsWith("pod")),
    );
  });
}
