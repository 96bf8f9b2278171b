/**
 * What happens to pods when Docker breaks: the engine killed or stopped, with live-restore and without it, its containerd,
 * a shim, a pause container killed, containers removed by somebody else. Without live-restore an engine that starts again
 * ends what still runs. After each, one sandbox and one container of each name run, and the status tells what happened.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { after, before } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { core } from "@knarr/api/generated/resources.ts";
import type { Container, Pod } from "@knarr/api/generated/types/core-v1.ts";
import { isolatedTest } from "@knarr/testkit/isolated-test.ts";
import type { TestDockerd } from "@knarr/testkit/start-dockerd.ts";
import { condition, NODE, shell, statusOf, TestNode, WAIT } from "./test-node.ts";

const run = promisify(execFile);
/** An engine that starts has much to look after. */
const PATIENCE_MS = 120_000;
/** KNARR_POD_CYCLES for the long run, as in pods-faults. */
const KILLS_MS = process.env.KNARR_POD_CYCLES === undefined ? [500] : [50, 150, 300, 500, 700, 1000, 1500];

if (await isolatedTest(import.meta)) {
  let node: TestNode;
  let dockerd: TestDockerd;
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "knarr-docker-faults-"));
    const config = join(folder, "kubelet.json");
    // What is killed time and again is to run again soon.
    const crashLoopBackOff = { maxContainerRestartPeriod: "1s" };
    const kind = { apiVersion: "kubelet.config.k8s.io/v1beta1", kind: "KubeletConfiguration" };
    await writeFile(config, JSON.stringify({ ...kind, crashLoopBackOff }));
    node = await TestNode.start({
      runtime: "docker",
      subnet: "10.88.35.0/24",
      settings: { "live-restore": false, "shutdown-timeout": 2 },
      args: ["--sync-frequency=2s", `--config=${config}`],
    });
    assert.ok(node.containerd.dockerd !== undefined);
    dockerd = node.containerd.dockerd;
  });
  after(async () => {
    if (process.env.KNARR_SHOW_OUTPUT !== undefined) process.stderr.write(dockerd.output);
    await node.stop();
    await rm(folder, { recursive: true });
  });

  /** Ends with 3 when it is asked to; notes each start. */
  const noting = (name: string): Container => ({
    ...shell(name, `trap 'exit 3' TERM; echo start >>/s/${name}; echo started; while :; do sleep 1 & wait $!; done`),
    volumeMounts: [{ name: "s", mountPath: "/s" }],
  });
  const volumes = [{ name: "s", emptyDir: {} }];
  const isReady = (pod: Pod) => condition(pod, "Ready")?.status === "True";
  const restarts = (pod: Pod, name = "main") => statusOf(pod, name).restartCount;
  const restartsFrom = (before: Pod) => (pod: Pod) => isReady(pod) && restarts(pod) > restarts(before);

  const ofPod = async (pod: Pod) => {
    const labelSelector = { "io.kubernetes.pod.uid": pod.metadata.uid ?? "" };
    return {
      sandboxes: await node.runtime.listSandboxes({ labelSelector }),
      containers: await node.runtime.listContainers({ labelSelector }),
    };
  };
  /** One ready sandbox, and exactly these containers running, in it. */
  const assertWhole = async (pod: Pod, names: readonly string[]) => {
    const { sandboxes, containers } = await ofPod(pod);
    const ready = sandboxes.filter((s) => s.state === "ready");
    assert.equal(ready.length, 1, JSON.stringify(sandboxes));
    const running = containers.filter((c) => c.state === "running");
    assert.deepEqual(running.map((c) => c.name).toSorted(), names.toSorted());
    assert.ok(running.every((c) => c.podSandboxId === ready[0]?.id));
  };
  /** The API's object goes first, what it left behind after it. */
  const untilNothingOf = async (pod: Pod) => {
    for (const deadline = Date.now() + PATIENCE_MS; ; await sleep(50)) {
      const { sandboxes, containers } = await ofPod(pod);
      if (sandboxes.length + containers.length === 0) return;
      assert.ok(Date.now() < deadline, JSON.stringify([...sandboxes, ...containers]));
    }
  };
  /** What somebody else does, or sees. */
  const docker = async (...args: string[]) => {
    const { stdout } = await run("docker", ["-H", dockerd.endpoint.replace("docker:", "unix:"), ...args]);
    return stdout.trim();
  };
  const readySandbox = async (pod: Pod) => {
    const { sandboxes } = await ofPod(pod);
    return sandboxes.find((s) => s.state === "ready")?.id ?? "";
  };

  test("an engine killed without live-restore: pods start again, a job that never restarts has failed", async () => {
    const spec = { volumes, containers: [noting("main"), shell("other", WAIT)] };
    await node.create("keeper", spec);
    await node.create("job", { ...spec, containers: [noting("main")], restartPolicy: "Never" });
    await node.create("retry", { ...spec, containers: [noting("main")], restartPolicy: "OnFailure" });
    const [keeper, retry] = [await node.ready("keeper"), await node.ready("retry")];
    await node.ready("job");
    await dockerd.kill();
    await node.create("late", { containers: [shell("main", WAIT)] });
    await dockerd.restart();
    const again = await node.until("keeper", "runs again", restartsFrom(keeper), PATIENCE_MS);
    assert.equal(statusOf(again, "main").lastState?.terminated?.exitCode, 3);
    assert.equal(restarts(again), 1);
    await node.until("retry", "runs again", restartsFrom(retry), PATIENCE_MS);
    const job = await node.failed("job");
    assert.equal(statusOf(job, "main").state?.terminated?.exitCode, 3);
    assert.equal(restarts(job), 0);
    await node.ready("late");
    await assertWhole(again, ["main", "other"]);
    await node.untilExec("keeper", ["cat", "/s/main"], "start\nstart\n");
  });

  test("an engine that is stopped and started ends what runs, and pods start again", async () => {
    const before = await node.get("keeper");
    await dockerd.terminate();
    await dockerd.restart();
    const again = await node.until("keeper", "runs again", restartsFrom(before), PATIENCE_MS);
    await assertWhole(again, ["main", "other"]);
    assert.equal((await node.get("job")).status?.phase, "Failed");
  });

  for (const killedAfterMs of KILLS_MS) {
    test(`an engine killed ${killedAfterMs} ms after a pod's creation: the pod comes up whole`, async () => {
      const name = `early-${killedAfterMs}`;
      const { metadata } = await node.create(name, {
        volumes,
        initContainers: [shell("init", "sleep 0.2"), { ...noting("side"), restartPolicy: "Always" }],
        containers: [noting("main"), shell("other", WAIT)],
      });
      await sleep(killedAfterMs);
      await dockerd.kill();
      await dockerd.restart();
      const pod = await node.until(name, "is ready", isReady, PATIENCE_MS);
      await assertWhole(pod, ["main", "other", "side"]);
      // And once more while the pod goes.
      await node.client.delete(core.pods, {
        namespace: "default",
        name,
      });
      await dockerd.kill();
      await dockerd.restart();
      await node.gone(name);
      await untilNothingOf({ metadata });
    });
  }

  test("a killed pause container takes its pod along, and the pod starts again in a new sandbox", async () => {
    const before = await node.ready("keeper");
    process.kill(Number(await docker("inspect", "-f", "{{.State.Pid}}", await readySandbox(before))), "SIGKILL");
    const again = await node.until("keeper", "runs again", restartsFrom(before), PATIENCE_MS);
    await assertWhole(again, ["main", "other"]);
    await node.untilEvent("keeper", "SandboxChanged");
  });

  test("a sandbox and a container that somebody removes are made anew", async () => {
    const before = await node.ready("keeper");
    await docker("rm", "-f", await readySandbox(before));
    const again = await node.until("keeper", "runs again", restartsFrom(before), PATIENCE_MS);
    await assertWhole(again, ["main", "other"]);
    const main = (await ofPod(again)).containers.find((c) => c.name === "main" && c.state === "running");
    await docker("rm", "-f", main?.id ?? "");
    // Counted on from the newest container that is left, as upstream.
    const isAnother = (pod: Pod) =>
      isReady(pod) && statusOf(pod, "main").containerID !== statusOf(again, "main").containerID;
    const third = await node.until("keeper", "runs again", isAnother, PATIENCE_MS);
    assert.ok(restarts(third) >= restarts(again));
    assert.equal(restarts(third, "other"), restarts(again, "other"));
    await assertWhole(third, ["main", "other"]);
  });

  test("with live-restore nothing is restarted, whether the engine or its containerd is killed, or it is stopped", async () => {
    const before = await node.ready("keeper");
    await dockerd.configure({ "live-restore": true });
    process.kill(dockerd.pid, "SIGHUP");
    const reloaded = async () => (await docker("info", "-f", "{{.LiveRestoreEnabled}}")) === "true";
    for (let tries = 0; !(await reloaded()); tries++) assert.ok(tries < 1000, "never reloaded");
    await dockerd.kill();
    await dockerd.restart();
    await dockerd.terminate();
    await dockerd.restart();
    process.kill(await dockerd.containerdPid(), "SIGKILL");
    await node.create("after", { containers: [shell("main", WAIT)] });
    await node.ready("after");
    const now = await node.ready("keeper");
    for (const name of ["main", "other"]) {
      assert.equal(statusOf(now, name).containerID, statusOf(before, name).containerID);
      assert.equal(restarts(now, name), restarts(before, name));
    }
    assert.equal(now.status?.podIP, before.status?.podIP);
    await assertWhole(now, ["main", "other"]);
    await node.remove("after");
  });

  test("a restarted kubelet adopts what runs, and everything can be removed", async () => {
    const before = await node.ready("keeper");
    await node.kubelet.restart();
    await node.create("next", { containers: [shell("main", WAIT)] });
    await node.ready("next");
    assert.deepEqual((await node.get("keeper")).status?.containerStatuses, before.status?.containerStatuses);
    // What is measured is what runs; what ended is asked for without an error, and its log is there.
    const measured = async () => {
      const text = await node.kubectl("get", "--raw", `/api/v1/nodes/${NODE}/proxy/stats/summary`);
      const { pods } = JSON.parse(text) as { pods: { podRef: { name: string }; containers: { name: string }[] }[] };
      return new Map(pods.map(({ podRef, containers }) => [podRef.name, containers.map((c) => c.name).toSorted()]));
    };
    const summary = await measured();
    assert.deepEqual(summary.get("keeper"), ["main", "other"]);
    assert.ok(!summary.has("job"), "a pod that is over uses nothing");
    assert.equal(await node.kubectl("logs", "job"), "started\n");
    assert.equal(await node.kubectl("logs", "keeper", "-c", "main", "--previous"), "started\n");
    const { items } = await node.client.list(core.pods, { namespace: "default" });
    await Promise.all(items.map(({ metadata }) => node.remove(metadata.name ?? "")));
    await Promise.all(items.map(untilNothingOf));
    assert.equal(await docker("ps", "-a"), (await docker("ps")).split("\n")[0], "no container is left");
  });
}
