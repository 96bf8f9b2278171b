/**
 * The workloads of `npm run bench:scheduler`, in the manner of upstream's scheduler_perf: which nodes, which pods are there
 * before, which pods are placed. Source: test/integration/scheduler_perf/config (SchedulingBasic, SchedulingNodeAffinity, ...)
 */
import type { Node, Pod } from "@knarr/api/generated/types/core-v1.ts";

export interface Workload {
  readonly name: string;
  /** Placed one after the other and measured. */
  pod(index: number): Pod;
  /** On the nodes before. */
  existing?(index: number, nodes: number): Pod | undefined;
  /** Nodes come and go meanwhile. */
  readonly churn?: boolean;
  readonly node?: Partial<Record<"cpu" | "memory" | "pods", string>>;
}

const ZONES = 10;

export function benchNode(index: number, allocatable: Workload["node"] = {}): Node {
  const amounts = { cpu: "4", memory: "32Gi", pods: "110", ...allocatable };
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: {
      name: `node-${index}`,
      labels: {
        "kubernetes.io/hostname": `node-${index}`,
        "topology.kubernetes.io/zone": `zone-${index % ZONES}`,
        half: index % 2 === 0 ? "even" : "odd",
      },
    },
    status: { capacity: amounts, allocatable: amounts, conditions: [{ type: "Ready", status: "True" }] },
  };
}

function pod(name: string, labels: Record<string, string>, spec: Partial<NonNullable<Pod["spec"]>> = {}): Pod {
  const resources = { requests: { cpu: "100m", memory: "500Mi" } };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default", labels },
    spec: { containers: [{ name: "pause", image: "registry.k8s.io/pause:3.10", resources }], ...spec },
  };
}

const inHalf = {
  nodeAffinity: {
    requiredDuringSchedulingIgnoredDuringExecution: {
      nodeSelectorTerms: [{ matchExpressions: [{ key: "half", operator: "In", values: ["even"] }] }],
    },
  },
};
const awayFromItsLike = {
  podAntiAffinity: {
    requiredDuringSchedulingIgnoredDuringExecution: [
      { topologyKey: "kubernetes.io/hostname", labelSelector: { matchLabels: { app: "apart" } } },
    ],
  },
};

export const WORKLOADS: readonly Workload[] = [
  { name: "plain", pod: (i) => pod(`plain-${i}`, { app: "plain" }) },
  { name: "node affinity", pod: (i) => pod(`affine-${i}`, { app: "affine" }, { affinity: inHalf }) },
  {
    name: "pod anti-affinity",
    pod: (i) => pod(`apart-${i}`, { app: "apart" }, { affinity: awayFromItsLike }),
  },
  {
    name: "topology spread",
    pod: (i) =>
      pod(
        `spread-${i}`,
        { app: "spread" },
        {
          topologySpreadConstraints: [
            {
              maxSkew: 5,
              topologyKey: "topology.kubernetes.io/zone",
              whenUnsatisfiable: "DoNotSchedule",
              labelSelector: { matchLabels: { app: "spread" } },
            },
          ],
        },
      ),
  },
  {
    name: "preemption",
    // Every node is full of pods of low priority.
    existing: (i, nodes) =>
      i >= nodes * 4 ? undefined : pod(`low-${i}`, { app: "low" }, { priority: 0, containers: [large("900m")] }),
    pod: (i) => pod(`high-${i}`, { app: "high" }, { priority: 10, containers: [large("3")] }),
  },
  { name: "churn", churn: true, pod: (i) => pod(`churned-${i}`, { app: "churned" }) },
];

/** A node of another name at every second step, gone again at the next. */
export function churnedNode(nodes: number, step: number): { readonly node: Node; readonly isGone: boolean } {
  const node = benchNode(nodes + step);
  const name = `extra-${Math.floor(step / 2)}`;
  return { node: { ...node, metadata: { ...node.metadata, name } }, isGone: step % 2 === 1 };
}

function large(cpu: string) {
  return { name: "pause", image: "registry.k8s.io/pause:3.10", resources: { requests: { cpu, memory: "500Mi" } } };
}
