/**
 * Tells the cluster that this node's network works: the condition NetworkUnavailable, as network providers set it.
 * Source: kubernetes.io/docs/reference/node/node-status#condition
 */
import { core } from "@knarr/api/generated/resources.ts";
import type { Node, NodeCondition } from "@knarr/api/generated/types/core-v1.ts";
import type { Client } from "@knarr/client/client.ts";

export function hasNetworkCondition(node: Node): boolean {
  return node.status?.conditions?.some((c) => c.type === "NetworkUnavailable" && c.status === "False") ?? false;
}

/** Rejects with a StatusError or ConnectionError. */
export async function setNetworkAvailable(
  client: Client,
  node: Node,
  options: { readonly nowMs: number; readonly signal: AbortSignal },
): Promise<void> {
  const now = `${new Date(options.nowMs).toISOString().slice(0, 19)}Z`;
  const condition: NodeCondition = {
    type: "NetworkUnavailable",
    status: "False",
    reason: "PodNetworkReady",
    message: "knarr pod-network has configured routes and CNI on this node",
    lastHeartbeatTime: now,
    lastTransitionTime: now,
  };
  const key = { namespace: "", name: node.metadata.name ?? "" };
  const body = { status: { conditions: [condition] } };
  await client.patch(core.nodes, key, { type: "strategic", body }, { subresource: "status", signal: options.signal });
}
