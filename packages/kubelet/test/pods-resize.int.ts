/** In-place resize of real containers: limits in force, conditions, restarts where the policy asks for them. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import test, { after, before } from "node:test";
import { core } from "@knarr/api/generated/resources.ts";
import type { Pod, ResourceRequirements } from "@knarr/api/generated/types/core-v1.ts";
import { isolatedTest } from "@knarr/testkit/isolated-test.ts";
import { condition, shell, statusOf, TestNode, WAIT } from "./test-node.ts";

const amounts = (cpu: string, memory: string): ResourceRequirements => ({
  requests: { cpu, memory },
  limits: { cpu, memory },
});

if (await isolatedTest(import.meta)) {
  let node: TestNode;
  before(async () => {
    node = await TestNode.start({ subnet: "10.88.31.0/24" });
  });
  after(async () => {
    await node.stop();
  });

  const resize = async (name: string, container: string, resources: ResourceRequirements) => {
    const body = { spec: { containers: [{ name: container, resources }] } };
    const key = { namespace: "default", name };
    return await node.client.patch(core.pods, key, { type: "strategic", body }, { subresource: "resize" });
  };
  const inForce = (pod: Pod, cpu: string) => statusOf(pod, "main").resources?.limits?.cpu === cpu;
  const settled = (pod: Pod) =>
    condition(pod, "PodResizeInProgress") === undefined && condition(pod, "PodResizePending") === undefined;
  const inside = (name: string, file: string) => node.exec(name, "cat", `/sys/fs/cgroup/${file}`);
  /** What the kernel says of the container, on either version of cgroups. */
  const limitsOf = async (name: string) => {
    const v2 = await readFile("/sys/fs/cgroup/cgroup.controllers").catch(() => undefined);
    if (v2 !== undefined) {
      const [quota] = (await inside(name, "cpu.max")).split(" ");
      return [Number(quota), Number(await inside(name, "memory.max"))];
    }
    const quota = Number(await inside(name, "cpu/cpu.cfs_quota_us"));
    return [quota, Number(await inside(name, "memory/memory.limit_in_bytes"))];
  };

  test("limits of a running container are changed without a restart", async () => {
    const main = { ...shell("main", WAIT), resources: amounts("100m", "64Mi") };
    await node.create("grow", { containers: [main] });
    const first = await node.ready("grow");
    assert.deepEqual(statusOf(first, "main").allocatedResources, { cpu: "100m", memory: "64Mi" });
    assert.deepEqual(statusOf(first, "main").resources, amounts("100m", "64Mi"));
    assert.deepEqual(await limitsOf("grow"), [10_000, 64 * 2 ** 20]);
    const changed = await resize("grow", "main", amounts("200m", "96Mi"));
    assert.equal(changed.metadata.generation, 2);
    const grown = await node.until("grow", "is resized", (p) => inForce(p, "200m") && settled(p));
    assert.deepEqual(statusOf(grown, "main").allocatedResources, { cpu: "200m", memory: "96Mi" });
    assert.equal(grown.status?.observedGeneration, 2);
    assert.equal(statusOf(grown, "main").restartCount, 0);
    assert.equal(statusOf(grown, "main").containerID, statusOf(first, "main").containerID);
    assert.deepEqual(await limitsOf("grow"), [20_000, 96 * 2 ** 20]);
    await resize("grow", "main", amounts("50m", "48Mi"));
    await node.until("grow", "is resized", (p) => inForce(p, "50m") && settled(p));
    assert.deepEqual(await limitsOf("grow"), [5000, 48 * 2 ** 20]);
    for (const reason of ["ResizeStarted", "ResizeCompleted"]) await node.untilEvent("grow", reason);
  });

  test("a kubelet that starts anew knows what was granted and what is in force", async () => {
    const before = await node.ready("grow");
    await node.kubelet.kill();
    await resize("grow", "main", amounts("60m", "48Mi"));
    await node.kubelet.restart();
    const after = await node.until("grow", "is resized", (p) => inForce(p, "60m") && settled(p));
    assert.equal(statusOf(after, "main").containerID, statusOf(before, "main").containerID);
    assert.deepEqual(await limitsOf("grow"), [6000, 48 * 2 ** 20]);
    await node.remove("grow");
  });

  test("a container whose policy says so is restarted for it", async () => {
    const resizePolicy = [
      { resourceName: "cpu", restartPolicy: "NotRequired" },
      { resourceName: "memory", restartPolicy: "RestartContainer" },
    ];
    const main = { ...shell("main", WAIT), resources: amounts("50m", "64Mi"), resizePolicy };
    await node.create("restarts", { containers: [main] });
    await node.ready("restarts");
    await resize("restarts", "main", amounts("60m", "64Mi"));
    const same = await node.until("restarts", "is resized", (p) => inForce(p, "60m") && settled(p));
    assert.equal(statusOf(same, "main").restartCount, 0);
    await resize("restarts", "main", amounts("60m", "80Mi"));
    const again = await node.until(
      "restarts",
      "is restarted and resized",
      (p) => statusOf(p, "main").restartCount === 1 && statusOf(p, "main").ready && settled(p),
    );
    assert.equal(statusOf(again, "main").resources?.limits?.memory, "80Mi");
    assert.deepEqual(await limitsOf("restarts"), [6000, 80 * 2 ** 20]);
    await node.untilEvent("restarts", "Killing", "Container main resize requires restart");
    await node.remove("restarts");
  });

  test("what the node can never give is Infeasible, what it can't give now is Deferred until it can", async () => {
    const object = await node.client.get(core.nodes, { namespace: "", name: "node-1" });
    const cpus = Number(object.status?.allocatable?.cpu);
    const ask = (cpu: number) => ({ requests: { cpu: `${cpu}m` }, limits: { cpu: `${cpu}m` } });
    const half = cpus * 500;
    await node.create("small", { containers: [{ ...shell("main", WAIT), resources: ask(50) }] });
    await node.create("big", { containers: [{ ...shell("main", WAIT), resources: ask(half) }] });
    await node.ready("small");
    await node.ready("big");
    await resize("small", "main", ask(cpus * 1000 + 1000));
    const never = await node.until("small", "is infeasible", (p) => condition(p, "PodResizePending") !== undefined);
    const { status, reason, message, observedGeneration } = condition(never, "PodResizePending") ?? {};
    assert.deepEqual([status, reason, observedGeneration], ["True", "Infeasible", 2]);
    assert.equal(
      message,
      `Node didn't have enough capacity: cpu, requested: ${cpus * 1000 + 1000}, capacity: ${cpus * 1000}`,
    );
    assert.equal(statusOf(never, "main").resources?.limits?.cpu, "50m");
    await resize("small", "main", ask(half + 100));
    const later = await node.until(
      "small",
      "is deferred",
      (p) => condition(p, "PodResizePending")?.reason === "Deferred",
    );
    assert.match(
      condition(later, "PodResizePending")?.message ?? "",
      /^Node didn't have enough resource: cpu, requested/,
    );
    await node.untilEvent("small", "ResizeDeferred");
    await node.remove("big");
    const done = await node.until("small", "is resized", (p) => inForce(p, `${half + 100}m`) && settled(p));
    assert.equal(statusOf(done, "main").restartCount, 0);
    await node.remove("small");
  });

  test("a memory limit below what is in use is an error that is told and tried again", async () => {
    const script = `dd if=/dev/zero of=/dev/shm/fill bs=1M count=24; ${WAIT}`;
    await node.create("full", { containers: [{ ...shell("main", script), resources: amounts("200m", "64Mi") }] });
    await node.ready("full");
    await node.exec("full", "sh", "-c", "until [ $(stat -c %s /dev/shm/fill) = 25165824 ]; do sleep 0.1; done");
    await resize("full", "main", amounts("200m", "16Mi"));
    const stuck = await node.until(
      "full",
      "fails to resize",
      (p) => condition(p, "PodResizeInProgress")?.reason === "Error",
    );
    assert.match(
      condition(stuck, "PodResizeInProgress")?.message ?? "",
      /memory limit \(16777216\) below current usage/,
    );
    assert.equal(statusOf(stuck, "main").restartCount, 0);
    await node.exec("full", "rm", "/dev/shm/fill");
    await node.until(
      "full",
      "is resized",
      (p) => settled(p) && statusOf(p, "main").resources?.limits?.memory === "16Mi",
    );
    await node.remove("full");
  });
}
