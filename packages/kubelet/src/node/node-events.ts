/** Events about the node, as `kubectl describe node` shows them: its conditions' changes, a reboot, the kubelet's start. */
import type { Node, NodeCondition } from "@knarr/api/generated/types/core-v1.ts";
import type { EventSink, EventType } from "../pods/pod-events.ts";

export type NodeEvent = (type: EventType, reason: string, message: string) => void;

/** Upstream names the node as its own UID, and `kubectl describe node` looks for that. */
export function nodeEvents(sink: EventSink, nodeName: string): NodeEvent {
  const about = { apiVersion: "v1", kind: "Node", name: nodeName, uid: nodeName };
  return (type, reason, message) => sink.event(about, type, reason, message);
}

const REASONS: Readonly<Record<string, { readonly True: string; readonly False: string }>> = {
  Ready: { True: "NodeReady", False: "NodeNotReady" },
  MemoryPressure: { True: "NodeHasInsufficientMemory", False: "NodeHasSufficientMemory" },
  DiskPressure: { True: "NodeHasDiskPressure", False: "NodeHasNoDiskPressure" },
  PIDPressure: { True: "NodeHasInsufficientPID", False: "NodeHasSufficientPID" },
};

export interface NodeNews {
  readonly reason: string;
  readonly message: string;
}

/** What changed between two states of the conditions. Pure. Source: pkg/kubelet/nodestatus/setters.go */
export function conditionNews(
  nodeName: string,
  before: readonly NodeCondition[],
  after: readonly NodeCondition[],
): NodeNews[] {
  return after.flatMap((condition) => {
    const old = before.find((c) => c.type === condition.type);
    if (old?.status === condition.status) return [];
    const reason = REASONS[condition.type]?.[condition.status as "True" | "False"];
    return reason === undefined ? [] : [{ reason, message: `Node ${nodeName} status is now: ${reason}` }];
  });
}

/** The machine was started anew since the node was last reported. Pure. */
export function rebootNews(node: Node | undefined, bootId: string): NodeNews | undefined {
  const before = node?.status?.nodeInfo?.bootID ?? "";
  if (before === "" || before === bootId) return undefined;
  return { reason: "Rebooted", message: `Node ${node?.metadata.name} has been rebooted, boot id: ${bootId}` };
}
