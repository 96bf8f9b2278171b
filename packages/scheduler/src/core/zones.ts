/** Nodes by failure domain, so that a search that stops early has seen all zones. Source: pkg/scheduler/backend/cache/node_tree.go */
import type { NodeInfo } from "./node-info.ts";

/** Region and zone of a node, as one value; "" when it has neither. */
export function zoneOf(labels: Readonly<Record<string, string>>): string {
  const zone = labels["topology.kubernetes.io/zone"] ?? labels["failure-domain.beta.kubernetes.io/zone"] ?? "";
  const region = labels["topology.kubernetes.io/region"] ?? labels["failure-domain.beta.kubernetes.io/region"] ?? "";
  return zone === "" && region === "" ? "" : `${region}/${zone}`;
}

/** One node of each zone in turn: [a1, a2, a3, b1] becomes [a1, b1, a2, a3]. */
export function interleaveZones(nodes: readonly NodeInfo[]): readonly NodeInfo[] {
  const zones = new Map<string, NodeInfo[]>();
  for (const node of nodes) {
    const zone = zoneOf(node.labels);
    const members = zones.get(zone);
    if (members === undefined) zones.set(zone, [node]);
    else members.push(node);
  }
  if (zones.size <= 1) return nodes;
  const lists = [...zones.values()];
  const mixed: NodeInfo[] = [];
  for (let i = 0; mixed.length < nodes.length; i++) {
    for (const list of lists) {
      const node = list[i];
      if (node !== undefined) mixed.push(node);
    }
  }
  return mixed;
}
