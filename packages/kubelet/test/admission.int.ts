/** Pods that a node can't take, and critical ones that others make room for. */
import assert from "node:assert/strict";
import test, { after, before } from "node:test";
import { core, scheduling } from "@knarr/api/generated/resources.ts";
import { isolatedTest } from "@knarr/testkit/isolated-test.ts";
import { condition, NODE, shell, TestNode, WAIT } from "./test-node.ts";

if (await isolatedTest(import.meta)) {
  let node: TestNode;
  before(async () => {
    node = await TestNode.start({ subnet: "10.88.32.0/24", args: ["--max-pods=2"] });
    const priorityClass = {
      apiVersion: "scheduling.k8s.io/v1",
      kind: "PriorityClass",
      metadata: { name: "system-node-critical" },
      value: 2_000_001_000,
    };
    await node.client.create(scheduling.priorityclasses, priorityClass).catch(() => undefined);
  });
  after(async () => {
    await node.stop();
  });

  const failed = (name: string) => node.until(name, "failed", (pod) => pod.status?.phase === "Failed");

  test("a pod that does not fit fails with upstream's reason and message, and an event", async () => {
    const cpu = { ...shell("main", WAIT), resources: { requests: { cpu: "900" } } };
    await node.create("large", { containers: [cpu] });
    const { status } = await failed("large");
    assert.equal(status?.reason, "OutOfcpu");
    assert.match(
      status?.message ?? "",
      /^Pod was rejected: Node didn't have enough resource: cpu, requested: 900000, used: \d+, capacity: \d+$/,
    );
    await node.untilEvent("large", "OutOfcpu");
    assert.equal(status?.containerStatuses, undefined);
    assert.match(await node.kubectl("get", "pod", "large", "--no-headers"), /^large +0\/1 +OutOfcpu /);
    await node.create("elsewhere", { containers: [shell("main", WAIT)], nodeSelector: { rack: "none" } });
    assert.equal((await failed("elsewhere")).status?.reason, "NodeAffinity");
    for (const name of ["large", "elsewhere"]) await node.remove(name);
  });

  test("a label that the node got just now counts, whatever the kubelet saw of it", async () => {
    const body = { metadata: { labels: { fresh: "yes" } } };
    await node.client.patch(core.nodes, { namespace: "", name: NODE }, { type: "merge", body });
    await node.create("fresh", { containers: [shell("main", WAIT)], nodeSelector: { fresh: "yes" } });
    await node.ready("fresh");
    await node.remove("fresh");
  });

  test("a critical pod takes the place of one that is not", async () => {
    await node.create("a", { containers: [{ ...shell("main", WAIT), resources: { requests: { cpu: "10m" } } }] });
    await node.create("b", { containers: [shell("main", WAIT)] });
    for (const name of ["a", "b"]) await node.ready(name);
    await node.create(
      "critical",
      { containers: [shell("main", WAIT)], priorityClassName: "system-node-critical" },
      { namespace: "default" },
    );
    const victim = await failed("b");
    assert.deepEqual(
      [victim.status?.reason, victim.status?.message],
      ["Preempting", "Preempted in order to admit critical pod"],
    );
    assert.equal(condition(victim, "DisruptionTarget")?.reason, "TerminationByKubelet");
    await node.untilEvent("b", "Preempting");
    await node.ready("critical");
    assert.equal(condition(await node.get("a"), "Ready")?.status, "True");
    for (const name of ["a", "b", "critical"]) await node.remove(name);
  });
}
