/**
 * Which of the resizes that wait may go ahead, when there is not room for all. Pure.
 *
 * They are looked at in order: those that ask for no more than they have, then by priority, guaranteed pods before others,
 * then by how long they wait. Each that fits takes its room before the next is looked at; one that does not fit holds
 * nobody up.
 * Source: pkg/kubelet/allocation/allocation_manager.go (sortPendingResizes), KEP-1287
 */
import type { Node, Pod } from "@knarr/api/generated/types/core-v1.ts";
import { podRequests } from "@knarr/scheduling/pod-requests.ts";
import { refuseResize } from "./admission.ts";
import { qosClass } from "./qos.ts";
import type { ResizeRefusal } from "./resize.ts";

export interface ResizeRequest {
  readonly uid: string;
  /** With the resources that it has. */
  readonly allocated: Pod;
  /** With those that it asks for. */
  readonly wanted: Pod;
  /** When it was put off first, epoch ms; undefined: it is new. */
  readonly since: number | undefined;
}

function isIncreasing({ allocated, wanted }: ResizeRequest): boolean {
  // What a status says does not count: only what is asked for.
  const requests = ({ status: _, ...pod }: Pod) => podRequests(pod);
  const [has, asks] = [requests(allocated), requests(wanted)];
  return ["cpu", "memory"].some((name) => (asks.get(name) ?? 0) > (has.get(name) ?? 0));
}

/** Negative when `a` is looked at first. */
export function compareResizes(a: ResizeRequest, b: ResizeRequest): number {
  const rank = (request: ResizeRequest) => [
    Number(isIncreasing(request)),
    -(request.wanted.spec?.priority ?? 0),
    Number(qosClass(request.wanted) !== "Guaranteed"),
    request.since ?? Number.MAX_SAFE_INTEGER,
  ];
  const [x, y] = [rank(a), rank(b)];
  const different = x.findIndex((value, i) => value !== y[i]);
  if (different >= 0) return (x[different] ?? 0) - (y[different] ?? 0);
  return a.uid < b.uid ? -1 : 1;
}

/** Why each request can't be met now, by UID; undefined for those that may go ahead. `others`: pods that stay as they are. */
export function judgeResizes(
  requests: readonly ResizeRequest[],
  node: Node,
  others: readonly Pod[],
): ReadonlyMap<string, ResizeRefusal | undefined> {
  const held = new Map(requests.map((r) => [r.uid, r.allocated]));
  const verdicts = new Map<string, ResizeRefusal | undefined>();
  for (const { uid, wanted } of requests.toSorted(compareResizes)) {
    const rest = [...held].filter(([key]) => key !== uid).map(([, pod]) => pod);
    const refusal = refuseResize(wanted, node, [...others, ...rest]);
    verdicts.set(uid, refusal);
    if (refusal === undefined) held.set(uid, wanted);
  }
  return verdicts;
}
