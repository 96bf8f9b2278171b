/** Laws of scheduling, on random clusters. The seed is printed on failure by fast-check. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { matchesRequiredNodeAffinity } from "@knarr/scheduling/node-affinity.ts";
import { findUntoleratedTaint, TaintEffect } from "@knarr/scheduling/taints.ts";
import fc from "fast-check";
import { type CaseNode, type CasePod, nodeOf, podOf } from "../test/lib/agreement-case.ts";
import { TestCluster } from "../test/lib/test-cluster.ts";
import type { NodeInfo } from "./core/node-info.ts";
import { type PodInfo, podInfoOf } from "./core/pod-info.ts";

const label = fc.constantFrom("web", "db", "cache");
const node: fc.Arbitrary<CaseNode> = fc.record({
  cpu: fc.integer({ min: 1, max: 8 }).map(String),
  pods: fc.integer({ min: 0, max: 6 }).map(String),
  labels: fc.record({ zone: fc.constantFrom("x", "y") }),
  taints: fc.option(fc.constant([{ key: "k", effect: "NoSchedule" }]), { freq: 4, nil: [] }),
});
const pod: fc.Arbitrary<CasePod> = fc.record(
  {
    cpu: fc.integer({ min: 0, max: 4 }).map(String),
    priority: fc.integer({ min: 0, max: 3 }),
    labels: fc.record({ app: label }),
    anti: label.chain((app) => fc.constantFrom("h", "zone").map((key): CasePod["anti"] => [[{ app }, key]])),
    affinity: label.chain((app) => fc.constant<CasePod["affinity"]>([[{ app }, "zone"]])),
    spread: label.map((app): CasePod["spread"] => [[1, "zone", { app }, "must"]]),
    ports: fc.constant([{ hostPort: 80, containerPort: 80 }]),
    required: fc.constantFrom("x", "y").map((zone) => [[{ key: "zone", operator: "In", values: [zone] }]]),
    spec: fc.constant({ tolerations: [{ key: "k", operator: "Exists" }] }),
  },
  { requiredKeys: ["cpu", "priority", "labels"] },
);
const cluster = fc.record({
  nodes: fc.array(node, { minLength: 1, maxLength: 6 }),
  pods: fc.array(pod, { minLength: 1, maxLength: 25 }),
});

function clusterOf(nodes: readonly CaseNode[]): TestCluster {
  return new TestCluster({ nodes: nodes.map((given, i) => nodeOf(`n${i}`, given)) });
}

function assertFits(cluster: TestCluster, info: PodInfo, node: NodeInfo): void {
  const { allocatable, requested } = node;
  assert.ok(info.requests.cpuMillis === 0 || requested.cpuMillis <= allocatable.cpuMillis, "CPU over allocatable");
  assert.ok(node.pods.size <= node.allowedPods, "too many pods");
  assert.ok(node.node !== undefined && matchesRequiredNodeAffinity(info.pod, node.node), "required node affinity");
  const hard = [TaintEffect.NoSchedule, TaintEffect.NoExecute];
  assert.equal(findUntoleratedTaint(node.node?.spec?.taints, info.pod.spec?.tolerations, hard), undefined, "taint");
  const others = cluster.cache.snapshot().nodes.flatMap((on) => [...on.pods.values()].map((other) => ({ on, other })));
  for (const { on, other } of others) {
    if (other.id === info.id) continue;
    const clash = (a: PodInfo, b: PodInfo) =>
      a.requiredAntiAffinity.some(
        ({ selector, topologyKey }) =>
          selector.matches(b.labels) &&
          node.labels[topologyKey] !== undefined &&
          node.labels[topologyKey] === on.labels[topologyKey],
      );
    assert.ok(!clash(info, other), "anti-affinity of the pod");
    assert.ok(!clash(other, info), "anti-affinity of another pod");
    if (on === node) assert.ok(info.hostPorts.length === 0 || other.hostPorts.length === 0, "host port");
  }
}

test("runCycle() never places a pod over allocatable or against a required rule", () => {
  fc.assert(
    fc.property(cluster, ({ nodes, pods }) => {
      const world = clusterOf(nodes);
      for (const [i, given] of pods.entries()) {
        const next = podOf(`p${i}`, given);
        const result = world.judge(next);
        assert.notEqual(result.kind, "error");
        if (result.kind !== "placed") continue;
        world.cache.assume(next, result.nodeName);
        assertFits(world, podInfoOf(next), world.cache.snapshot().get(result.nodeName) as NodeInfo);
      }
    }),
    { numRuns: 300 },
  );
});

test("DefaultPreemption never removes a pod of equal or higher priority, nor more than needed", () => {
  fc.assert(
    fc.property(cluster, pod, ({ nodes, pods }, given) => {
      const world = clusterOf(nodes);
      for (const [i, each] of pods.entries()) {
        const next = podOf(`p${i}`, each);
        const result = world.judge(next);
        if (result.kind === "placed") world.cache.assume(next, result.nodeName);
      }
      const urgent = podOf("urgent", { ...given, priority: 4 - (pods.length % 3) });
      const result = world.judge(urgent);
      const plan = result.kind === "unschedulable" ? result.postFilter?.plan : undefined;
      if (plan === undefined) return;
      const { victims, nodeName } = plan;
      assert.ok(victims.length > 0);
      for (const victim of victims) assert.ok(victim.priority < podInfoOf(urgent).priority, "priority");
      const fitsThere = () => {
        const again = world.judge(urgent);
        return again.kind === "placed" && again.feasible.some(({ name }) => name === nodeName);
      };
      for (const { pod: victim } of victims) world.cache.removePod(victim);
      assert.ok(fitsThere(), "does not fit though the victims are gone");
      for (const { pod: victim } of victims) {
        world.cache.assume(victim, nodeName);
        assert.ok(!fitsThere(), "a victim could have stayed");
        world.cache.removePod(victim);
      }
    }),
    { numRuns: 300 },
  );
});

test("SchedulerCache sums are those of its pods whatever comes and goes", () => {
  fc.assert(
    fc.property(cluster, fc.array(fc.nat(40), { maxLength: 60 }), ({ nodes, pods }, steps) => {
      const world = clusterOf(nodes);
      const { cache } = world;
      for (const step of steps) {
        const i = step % pods.length;
        const one = podOf(`p${i}`, pods[i] ?? {});
        if (step % 3 === 0) cache.assume(one, `n${step % nodes.length}`);
        else if (step % 3 === 1) cache.forget(one);
        else
          cache.setNode(
            nodeOf(`n${step % nodes.length}`, { ...nodes[0], labels: { zone: step % 2 === 0 ? "x" : "y" } }),
          );
      }
      for (const info of cache.snapshot().nodes) {
        const cpu = [...info.pods.values()].reduce((sum, each) => sum + each.requests.cpuMillis, 0);
        assert.equal(info.requested.cpuMillis, cpu);
      }
      for (const group of cache.snapshot().podGroups.values()) {
        const byZone = new Map<string, number>();
        for (const [info, count] of group.counts.nodes()) {
          const zone = info.labels.zone ?? "";
          byZone.set(zone, (byZone.get(zone) ?? 0) + count);
        }
        assert.deepEqual(new Map(group.counts.byValue("zone")), byZone);
      }
    }),
    { numRuns: 200 },
  );
});
