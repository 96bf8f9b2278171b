import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { setImmediate } from "node:timers/promises";
import { systemClock } from "@knarr/daemon/clock.ts";
import { createLogger } from "@knarr/daemon/logger.ts";
import { CpuManager, type CpuPolicyConfig, staticPolicy } from "./cpu-manager.ts";

/** Two cores of two threads: 0+2, 1+3. */
const TOPOLOGY = Array.from({ length: 4 }, (_, id) => ({ id, core: id % 2, socket: 0, node: 0 }));
const CONFIG: CpuPolicyConfig = {
  cpuManagerPolicy: "static",
  cpuManagerPolicyOptions: {},
  reservedCpus: "",
  systemReserved: { cpu: "500m" },
  kubeReserved: { cpu: "700m" },
};

test("staticPolicy() reserves whole processors for what is reserved, of one core where it can", () => {
  assert.deepEqual([...(staticPolicy(CONFIG, TOPOLOGY)?.reserved ?? [])], [0, 2]);
});

test("staticPolicy() reserves the processors that are named", () => {
  const policy = staticPolicy({ ...CONFIG, reservedCpus: "1,3" }, TOPOLOGY);
  assert.deepEqual([...(policy?.reserved ?? [])], [1, 3]);
});

test("staticPolicy() is none when the policy is", () => {
  assert.equal(staticPolicy({ ...CONFIG, cpuManagerPolicy: "none" }, TOPOLOGY), undefined);
});

for (const [when, config, message] of [
  ["nothing is reserved", { systemReserved: {}, kubeReserved: {} }, /to be greater than zero/],
  ["a named processor is not there", { reservedCpus: "1,7-8" }, /--reserved-cpus: the machine has no CPU 7-8/],
  ["more is reserved than there is", { systemReserved: { cpu: "5" } }, /6 CPUs are to be reserved, the machine has 4/],
] as const) {
  test(`staticPolicy() throws when ${when}`, () => {
    assert.throws(() => staticPolicy({ ...CONFIG, ...config }, TOPOLOGY), message);
  });
}

test("load() refuses to start on what another policy left", async () => {
  const rootDir = await mkdtemp(join(tmpdir(), "knarr-cpus-"));
  const log = createLogger({ name: "test", level: "silent" });
  const runtime = { updateContainerResources: async () => undefined };
  const parts = { rootDir, log, runtime, clock: systemClock, reconcilePeriodMs: 10_000 };
  const options = { ...parts, active: () => undefined, containers: () => [] };
  const none = { ...CONFIG, cpuManagerPolicy: "none" };
  try {
    const path = join(rootDir, "cpu_manager_state");
    await writeFile(path, '{"policyName":"static","defaultCpuSet":"0,14-27","entries":{},"checksum":1}');
    await assert.rejects(
      CpuManager.load(options, none),
      /could not restore state from checkpoint: checkpoint is corrupt/,
    );
    await writeFile(path, '{"policyName":"none","defaultCpuSet":"4-6","checksum":354655845}');
    const idle = await CpuManager.load(options, none);
    assert.equal(idle.isStatic, false);
    const stop = new AbortController();
    let ended = false;
    const running = idle.run(stop.signal).then(() => (ended = true));
    await setImmediate();
    assert.equal(ended, false, "a task that ends ends the kubelet");
    stop.abort();
    await running;
    await assert.rejects(
      CpuManager.load(options, { ...CONFIG, systemReserved: { cpu: "1" }, kubeReserved: {} }),
      /configured policy "static" differs from state checkpoint policy "none", please drain this node/,
    );
  } finally {
    await rm(rootDir, { recursive: true });
  }
});
