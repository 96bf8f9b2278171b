/** Which changes of a node matter for placing pods. Heartbeats change it every few minutes and don't. */
import type { Node } from "@knarr/api/generated/types/core-v1.ts";
import type { ClusterEvent } from "./cluster-event.ts";

export function nodeChange(old: Node | undefined, node: Node | undefined): ClusterEvent | undefined {
  if (old === undefined && node !== undefined) return { resource: "Node", action: "Add", node };
  if (old !== undefined && node === undefined) return { resource: "Node", action: "Delete", node: old };
  if (old === undefined || node === undefined || !differs(old, node)) return undefined;
  return { resource: "Node", action: "Update", old, node };
}

function differs(old: Node, node: Node): boolean {
  const parts = (n: Node) =>
    JSON.stringify([
      n.spec?.unschedulable,
      n.spec?.taints,
      n.metadata.labels,
      n.metadata.annotations,
      n.status?.allocatable,
      n.status?.conditions?.map((c) => [c.type, c.status]),
      n.status?.features,
    ]);
  return parts(old) !== parts(node);
}
