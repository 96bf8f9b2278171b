/** Queueing hints: which changes of the cluster may help a pod that a plugin refused. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "@knarr/daemon/clock.ts";
import { type CaseNode, type CasePod, nodeOf, podOf } from "../../test/lib/agreement-case.ts";
import { frameworkOf, listersOf, NO_WRITES } from "../../test/lib/test-cluster.ts";
import { type ClusterEvent, kindOf } from "../core/cluster-event.ts";
import { Nominations } from "../core/nominations.ts";
import { podInfoOf } from "../core/pod-info.ts";

const framework = frameworkOf(undefined, {
  listers: listersOf({}),
  writes: NO_WRITES,
  nominations: new Nominations(),
  clock: systemClock,
  random: Math.random,
  isPreempting: () => false,
});
const added = (node: CaseNode): ClusterEvent => ({ resource: "Node", action: "Add", node: nodeOf("n", node) });
const changed = (old: CaseNode, node: CaseNode): ClusterEvent => ({
  resource: "Node",
  action: "Update",
  old: nodeOf("n", old),
  node: nodeOf("n", node),
});
const bound = (pod: CasePod): ClusterEvent => ({ resource: "AssignedPod", action: "Add", pod: podOf("x", pod) });
const gone = (pod: CasePod): ClusterEvent => ({ resource: "AssignedPod", action: "Delete", pod: podOf("x", pod) });
const updated = (old: CasePod, pod: CasePod): ClusterEvent => ({
  resource: "AssignedPod",
  action: "Update",
  old: podOf("x", old),
  pod: podOf("x", pod),
});
const claim = (name: string): ClusterEvent => ({
  resource: "PersistentVolumeClaim",
  action: "Update",
  object: { metadata: { namespace: "default", name } },
});

const tainted: CaseNode = { taints: [{ key: "k", effect: "NoSchedule" }] };
const cases: { plugin: string; name: string; pod: CasePod; event: ClusterEvent; want: boolean }[] = [
  { plugin: "NodeResourcesFit", name: "a pod goes", pod: { cpu: "1" }, event: gone({ cpu: "1" }), want: true },
  { plugin: "NodeResourcesFit", name: "a pod comes", pod: { cpu: "1" }, event: bound({}), want: false },
  {
    plugin: "NodeResourcesFit",
    name: "a pod shrinks",
    pod: { cpu: "1" },
    event: updated({ cpu: "2" }, { cpu: "1" }),
    want: true,
  },
  {
    plugin: "NodeResourcesFit",
    name: "a pod gets a label",
    pod: { cpu: "1" },
    event: updated({}, { labels: { a: "b" } }),
    want: false,
  },
  { plugin: "NodeResourcesFit", name: "a large node comes", pod: { cpu: "2" }, event: added({ cpu: "4" }), want: true },
  {
    plugin: "NodeResourcesFit",
    name: "a small node comes",
    pod: { cpu: "8" },
    event: added({ cpu: "4" }),
    want: false,
  },
  {
    plugin: "NodeResourcesFit",
    name: "a node grows",
    pod: { cpu: "4" },
    event: changed({ cpu: "2" }, { cpu: "8" }),
    want: true,
  },
  {
    plugin: "NodeResourcesFit",
    name: "a node gets a label",
    pod: { cpu: "1" },
    event: changed({}, { labels: { a: "b" } }),
    want: false,
  },
  { plugin: "TaintToleration", name: "a taint goes", pod: {}, event: changed(tainted, {}), want: true },
  { plugin: "TaintToleration", name: "a tainted node comes", pod: {}, event: added(tainted), want: false },
  {
    plugin: "TaintToleration",
    name: "a taint stays",
    pod: {},
    event: changed(tainted, { ...tainted, cpu: "8" }),
    want: false,
  },
  {
    plugin: "NodeUnschedulable",
    name: "a node is uncordoned",
    pod: {},
    event: changed({ unschedulable: true }, {}),
    want: true,
  },
  {
    plugin: "NodeUnschedulable",
    name: "a node is cordoned",
    pod: {},
    event: changed({}, { unschedulable: true }),
    want: false,
  },
  {
    plugin: "NodeAffinity",
    name: "a node gets the label",
    pod: { spec: { nodeSelector: { a: "b" } } },
    event: changed({}, { labels: { a: "b" } }),
    want: true,
  },
  {
    plugin: "NodeAffinity",
    name: "a node gets another label",
    pod: { spec: { nodeSelector: { a: "b" } } },
    event: changed({}, { labels: { a: "c" } }),
    want: false,
  },
  {
    plugin: "NodePorts",
    name: "the pod with the port goes",
    pod: { ports: [{ hostPort: 80, containerPort: 80 }] },
    event: gone({ ports: [{ hostPort: 80, containerPort: 80 }] }),
    want: true,
  },
  {
    plugin: "NodePorts",
    name: "another pod goes",
    pod: { ports: [{ hostPort: 80, containerPort: 80 }] },
    event: gone({}),
    want: false,
  },
  {
    plugin: "InterPodAffinity",
    name: "the wanted neighbour comes",
    pod: { affinity: [[{ app: "db" }, "h"]] },
    event: bound({ labels: { app: "db" } }),
    want: true,
  },
  {
    plugin: "InterPodAffinity",
    name: "somebody else comes",
    pod: { affinity: [[{ app: "db" }, "h"]] },
    event: bound({ labels: { app: "web" } }),
    want: false,
  },
  {
    plugin: "InterPodAffinity",
    name: "the avoided neighbour goes",
    pod: { anti: [[{ app: "db" }, "h"]] },
    event: gone({ labels: { app: "db" } }),
    want: true,
  },
  {
    plugin: "InterPodAffinity",
    name: "one who avoided it goes",
    pod: { labels: { app: "web" } },
    event: gone({ anti: [[{ app: "web" }, "h"]] }),
    want: true,
  },
  {
    plugin: "InterPodAffinity",
    name: "somebody else goes",
    pod: { anti: [[{ app: "db" }, "h"]] },
    event: gone({ labels: { app: "web" } }),
    want: false,
  },
  {
    plugin: "PodTopologySpread",
    name: "one of its kind goes",
    pod: { spread: [[1, "zone", { app: "w" }, "must"]] },
    event: gone({ labels: { app: "w" } }),
    want: true,
  },
  {
    plugin: "PodTopologySpread",
    name: "another kind goes",
    pod: { spread: [[1, "zone", { app: "w" }, "must"]] },
    event: gone({ labels: { app: "v" } }),
    want: false,
  },
  {
    plugin: "PodTopologySpread",
    name: "a node of a zone comes",
    pod: { spread: [[1, "zone", { app: "w" }, "must"]] },
    event: added({ labels: { zone: "x" } }),
    want: true,
  },
  {
    plugin: "PodTopologySpread",
    name: "a node without a zone comes",
    pod: { spread: [[1, "zone", { app: "w" }, "must"]] },
    event: added({}),
    want: false,
  },
  { plugin: "VolumeBinding", name: "its claim changes", pod: { claims: ["data"] }, event: claim("data"), want: true },
  {
    plugin: "VolumeBinding",
    name: "another claim changes",
    pod: { claims: ["data"] },
    event: claim("other"),
    want: false,
  },
  {
    plugin: "VolumeRestrictions",
    name: "the pod with the claim goes",
    pod: { claims: ["data"] },
    event: gone({ claims: ["data"] }),
    want: true,
  },
  {
    plugin: "VolumeRestrictions",
    name: "another pod goes",
    pod: { claims: ["data"] },
    event: gone({ claims: ["other"] }),
    want: false,
  },
  {
    plugin: "NodeVolumeLimits",
    name: "a pod with a volume goes",
    pod: { claims: ["data"] },
    event: gone({ claims: ["other"] }),
    want: true,
  },
  {
    plugin: "NodeVolumeLimits",
    name: "a pod without volumes goes",
    pod: { claims: ["data"] },
    event: gone({}),
    want: false,
  },
  { plugin: "NodeName", name: "a node comes", pod: {}, event: added({}), want: true },
  { plugin: "NodeName", name: "a node changes", pod: {}, event: changed({}, { cpu: "8" }), want: false },
];
for (const { plugin, name, pod, event, want } of cases) {
  test(`${plugin} thinks it ${want ? "worth" : "not worth"} a retry when ${name}`, () => {
    const found = framework.plugins.get(plugin);
    assert.ok(found !== undefined);
    const cares = found.events?.includes(kindOf(event)) ?? true;
    assert.equal(cares && (found.worthRetry?.(podInfoOf(podOf("p", pod)), event) ?? true), want);
  });
}
