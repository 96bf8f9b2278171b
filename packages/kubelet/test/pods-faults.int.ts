/**
 * What must not break pods: a kubelet, a containerd, a shim or an API server that dies or stalls at any moment of a pod's
 * life. After each, one sandbox and one container of each name run, what ran goes on, and what is deleted leaves nothing.
 * KNARR_POD_CYCLES=200 for the long run of the last test.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import test, { after, before } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { core } from "@knarr/api/generated/resources.ts";
import type { PodSpec } from "@knarr/api/generated/types/core-v1.ts";
import { isolatedTest } from "@knarr/testkit/isolated-test.ts";
import { condition, NODE, shell, statusOf, TestNode, WAIT } from "./test-node.ts";

const CYCLES = Number(process.env.KNARR_POD_CYCLES ?? "15");
const KILLS_MS =
  process.env.KNARR_POD_CYCLES === undefined ? [20, 300, 700, 1300] : [20, 150, 300, 500, 700, 900, 1300];
const PATIENCE_MS = 120_000;
const run = promisify(execFile);

if (await isolatedTest(import.meta)) {
  let node: TestNode;
  before(async () => {
    node = await TestNode.start({ subnet: "10.88.34.0/24", args: ["--sync-frequency=2s"] });
  });
  after(async () => {
    await node.stop();
  });

  const steps: Pick<PodSpec, "initContainers" | "containers"> = {
    initContainers: [shell("init", "sleep 0.2"), { ...shell("side", WAIT), restartPolicy: "Always" }],
    containers: [
      { ...shell("main", WAIT), lifecycle: { postStart: { exec: { command: ["sleep", "0.2"] } } } },
      { ...shell("other", WAIT), readinessProbe: { exec: { command: ["true"] }, periodSeconds: 1 } },
    ],
  };
  const ready = (name: string) =>
    node.until(name, "is ready", (p) => condition(p, "Ready")?.status === "True", PATIENCE_MS);

  /** What the runtime has of a pod: "sandbox ready", "main running" ... */
  const inRuntime = async (uid: string | undefined): Promise<string[]> => {
    const labelSelector = { "io.kubernetes.pod.uid": uid ?? "" };
    const sandboxes = await node.runtime.listSandboxes({ labelSelector });
    const containers = await node.runtime.listContainers({ labelSelector });
    return [
      ...sandboxes.map((s) => `sandbox ${s.state}`),
      ...containers.map((c) => `${c.labels["io.kubernetes.container.name"]} ${c.state}`),
    ];
  };
  const count = (list: readonly string[], what: string) => list.filter((item) => item === what).length;

  /** Milliseconds after the creation at which the kubelet is killed: from before the sandbox until after readiness. */
  for (const killedAfterMs of KILLS_MS) {
    test(`a kubelet killed ${killedAfterMs} ms after a pod's creation goes on where it was`, async () => {
      const name = `killed-${killedAfterMs}`;
      const { metadata } = await node.create(name, steps);
      await sleep(killedAfterMs);
      await node.kubelet.kill();
      const ranBefore = (
        await node.runtime.listContainers({ labelSelector: { "io.kubernetes.pod.uid": metadata.uid ?? "" } })
      )
        .filter((c) => c.state === "running")
        .map((c) => c.id);
      await node.kubelet.restart();
      await ready(name);
      const now = await inRuntime(metadata.uid);
      for (const what of ["sandbox ready", "side running", "main running", "other running"]) {
        assert.equal(count(now, what), 1, `${what}: ${now.join(", ")}`);
      }
      const running = (await node.runtime.listContainers({ state: "running" })).map((c) => c.id);
      const init = (await node.runtime.listContainers({})).find(
        (c) => ranBefore.includes(c.id) && c.labels["io.kubernetes.container.name"] === "init",
      );
      // The init container may well have ended by itself since.
      for (const id of ranBefore) if (id !== init?.id) assert.ok(running.includes(id), `${id} was restarted`);
      // And killed again while the pod goes.
      await node.client.delete(core.pods, { namespace: "default", name }, { gracePeriodSeconds: 1 });
      await sleep(killedAfterMs / 3);
      await node.kubelet.restart();
      await node.gone(name);
    });
  }

  test("containerd killed: pods run on, and pods created meanwhile start when it is back", async () => {
    await node.create("stays", steps);
    const before = await ready("stays");
    await node.containerd.kill();
    await node.create("waits", { containers: [shell("main", WAIT)] });
    await sleep(1500);
    assert.equal((await node.get("stays")).status?.phase, "Running");
    await node.containerd.restart();
    await ready("waits");
    const after = await ready("stays");
    for (const name of ["side", "main", "other"]) {
      assert.equal(statusOf(after, name).containerID, statusOf(before, name).containerID);
      assert.equal(statusOf(after, name).restartCount, 0);
    }
    await node.remove("waits");
  });

  test("a killed shim takes its pod along, and the pod starts again in a new sandbox", async () => {
    const { metadata } = await node.get("stays");
    const sandboxes = await node.runtime.listSandboxes({
      labelSelector: { "io.kubernetes.pod.uid": metadata.uid ?? "" },
    });
    const shims = await shimsOf(sandboxes.map((s) => s.id));
    assert.equal(shims.length, 1);
    for (const pid of shims) process.kill(pid, "SIGKILL");
    const again = await node.until(
      "stays",
      "starts again",
      (p) => condition(p, "Ready")?.status === "True" && statusOf(p, "main").restartCount > 0,
      PATIENCE_MS,
    );
    assert.ok(statusOf(again, "main").lastState?.terminated !== undefined);
    await node.untilEvent("stays", "SandboxChanged");
    await node.remove("stays");
  });

  test("an API server that stalls: restarts and probes go on, the status catches up, nothing is restarted for it", async () => {
    // It ends once the test says so, whatever the machine does meanwhile: once the API server stalls.
    const script = "test -e /s/again && exit 3; until test -e /s/end; do sleep 0.1; done; touch /s/again; exit 3";
    const restarts = shell("restarts", script);
    await node.create("alone", {
      volumes: [{ name: "s", emptyDir: {} }],
      containers: [shell("main", WAIT), { ...restarts, volumeMounts: [{ name: "s", mountPath: "/s" }] }],
    });
    const before = await node.until("alone", "runs", (p) => statusOf(p, "restarts").state?.running !== undefined);
    process.kill(node.api.pid, "SIGSTOP");
    let seen: string[] = [];
    try {
      const volumes = join(node.kubelet.rootDir, "pods", before.metadata.uid ?? "", "volumes");
      await writeFile(join(volumes, "kubernetes.io~empty-dir/s/end"), "");
      const deadline = Date.now() + PATIENCE_MS;
      while (Date.now() < deadline) {
        const all = await node.runtime.listContainers({
          labelSelector: { "io.kubernetes.pod.uid": before.metadata.uid ?? "" },
        });
        seen = all.filter((c) => c.attempt > 0).map((c) => c.id);
        if (seen.length > 0) break;
        await sleep(100);
      }
    } finally {
      process.kill(node.api.pid, "SIGCONT");
    }
    assert.ok(seen.length > 0, "nothing was restarted while the API server stalled");
    const caughtUp = await node.until(
      "alone",
      "catches up",
      (p) => statusOf(p, "restarts").restartCount > 0,
      PATIENCE_MS,
    );
    assert.equal(statusOf(caughtUp, "main").containerID, statusOf(before, "main").containerID);
    assert.equal(statusOf(caughtUp, "main").restartCount, 0);
    const object = await node.client.get(core.nodes, { namespace: "", name: NODE });
    assert.ok(object.status?.conditions?.some((c) => c.type === "Ready"));
  });

  test("a kubelet that starts while the API server stalls runs static pods and leaves all others alone", async () => {
    const before = await node.get("alone");
    const manifest = join(node.kubelet.manifests, "own.json");
    const own = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "own" },
      spec: { containers: [shell("main", WAIT)] },
    };
    process.kill(node.api.pid, "SIGSTOP");
    try {
      await node.kubelet.restart();
      await writeFile(manifest, JSON.stringify(own));
      const ofOwn = { "io.kubernetes.pod.name": `own-${NODE}` };
      const deadline = Date.now() + PATIENCE_MS;
      while ((await node.runtime.listContainers({ labelSelector: ofOwn, state: "running" })).length === 0) {
        assert.ok(Date.now() < deadline, "the static pod never ran");
        await sleep(100);
      }
    } finally {
      process.kill(node.api.pid, "SIGCONT");
    }
    const shown = async () => (await node.client.list(core.pods, { namespace: "default" })).items;
    while (!(await shown()).some((p) => p.metadata.name === `own-${NODE}`)) await sleep(100);
    const mirror = await ready(`own-${NODE}`);
    assert.equal(statusOf(mirror, "main").restartCount, 0);
    const now = await node.until("alone", "is seen to run", (p) => statusOf(p, "main").state?.running !== undefined);
    assert.equal(statusOf(now, "main").containerID, statusOf(before, "main").containerID);
    assert.equal(statusOf(now, "main").restartCount, 0);
    await rm(manifest);
    await node.gone(`own-${NODE}`);
    await node.remove("alone");
  });

  test(`${CYCLES} pods created and deleted leave no mount, namespace, link, cgroup, process or file`, async () => {
    const spec = { ...steps, volumes: [{ name: "e", emptyDir: { medium: "Memory" } }] };
    const mounted = {
      ...spec,
      containers: spec.containers.map((c) => ({ ...c, volumeMounts: [{ name: "e", mountPath: "/e" }] })),
    };
    await node.create("first", mounted);
    await ready("first");
    await node.remove("first");
    await settled();
    const before = await traces(node);
    for (let i = 0; i < CYCLES; i += 5) {
      const names = Array.from({ length: Math.min(5, CYCLES - i) }, (_, j) => `cycle-${i + j}`);
      await Promise.all(names.map((name) => node.create(name, mounted)));
      // Some are deleted before they are ready.
      await Promise.all(names.filter((_, j) => j % 2 === 0).map(ready));
      await Promise.all(names.map((name) => node.remove(name)));
    }
    await settled();
    // Docker's engine and the kernel take some of it away a moment later.
    let now = await traces(node);
    const left = () => Object.entries(now).filter(([what, count]) => count > (before[what] ?? 0));
    for (const deadline = Date.now() + PATIENCE_MS; left().length > 0 && Date.now() < deadline; await sleep(200)) {
      now = await traces(node);
    }
    assert.deepEqual(left(), [], JSON.stringify(before));
  });

  /** Waits until the runtime has nothing and housekeeping has been round. */
  async function settled(): Promise<void> {
    const deadline = Date.now() + PATIENCE_MS;
    for (;;) {
      const [sandboxes, folders, logs] = [
        await node.runtime.listSandboxes(),
        await readdir(join(node.kubelet.rootDir, "pods")),
        await readdir(node.kubelet.logDir),
      ];
      if (sandboxes.length + folders.length + logs.length === 0) return;
      assert.ok(Date.now() < deadline, JSON.stringify({ sandboxes, folders, logs }));
      await sleep(100);
    }
  }
}

/** Process ids of the shims that hold these sandboxes. */
async function shimsOf(sandboxIds: readonly string[]): Promise<number[]> {
  const found: number[] = [];
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    const line = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => ""); // ended meanwhile
    const words = line.split("\0");
    if (words[0]?.includes("containerd-shim") === true && words.some((w) => sandboxIds.includes(w)))
      found.push(Number(pid));
  }
  return found;
}

/** Paths of everything in a folder; none when it is not there. */
async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true }).catch(() => []);
  return entries.map((name) => `/${name}`);
}

/** Everything that pods leave on a machine if nobody cleans up, as counts. */
async function traces(node: TestNode): Promise<Record<string, number>> {
  await node.containerd.collectGarbage();
  const mounts = (await readFile("/proc/self/mounts", "utf8")).trim().split("\n");
  const processes = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const shims: string[] = [];
  for (const pid of processes) {
    const line = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => ""); // ended meanwhile
    if (line.includes("containerd-shim") || line.includes("/pause")) shims.push(pid);
  }
  const groups = await readdir(join("/sys/fs/cgroup/memory", node.cgroupRoot, "kubepods"), { recursive: true }).catch(
    () => readdir(join("/sys/fs/cgroup", node.cgroupRoot, "kubepods"), { recursive: true }),
  );
  const { directory } = node.containerd;
  const { stdout: rules } = await run("iptables-save", []);
  return {
    leases: (await filesBelow(join(directory, "ipam"))).filter((name) => /\/\d+\.\d+\.\d+\.\d+$/.test(name)).length,
    rules: rules.split("\n").filter((line) => /^(:|-A)/.test(line)).length,
    // Of containerd and of Docker, whichever runs: the folders of images' and containers' layers.
    layers:
      (await readdir(join(directory, "root/io.containerd.snapshotter.v1.overlayfs/snapshots")).catch(() => [])).length +
      (await readdir(join(directory, "data/overlay2")).catch(() => [])).length,
    state: (await filesBelow(join(node.kubelet.rootDir, "docker"))).length,
    files:
      (await filesBelow(join(node.kubelet.rootDir, "pods"))).length + (await filesBelow(node.kubelet.logDir)).length,
    mounts: mounts.length,
    links: (await readFile("/proc/net/dev", "utf8")).split("\n").filter((line) => line.trim().startsWith("veth"))
      .length,
    namespaces: (await readdir("/run/netns").catch(() => [])).length,
    groups: groups.filter((path) => path.includes("/pod")).length,
    shims: shims.length,
    containers: (await node.runtime.listContainers()).length,
  };
}
