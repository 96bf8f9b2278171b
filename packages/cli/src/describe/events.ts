/** The events of an object, as describe shows them at its end. */

import { core } from "@knarr/api/generated/resources.ts";
import type { Event } from "@knarr/api/generated/types/core-v1.ts";
import { humanDuration } from "@knarr/api/human-duration.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import type { Client } from "@knarr/client/client.ts";

export async function eventsOf(client: Client, object: KubeObject, signal: AbortSignal): Promise<readonly Event[]> {
  const { namespace, name, uid } = object.metadata;
  const { items } = await client.list(core.events, {
    ...(namespace === undefined ? {} : { namespace }),
    // Nodes' events bear the node's name as uid, so the kind and name decide there.
    fieldSelector:
      object.kind === "Node"
        ? `involvedObject.name=${name},involvedObject.kind=Node`
        : `involvedObject.name=${name},involvedObject.uid=${uid}`,
    signal,
  });
  return items.toSorted((a, b) => timeOf(a) - timeOf(b));
}

const timeOf = (event: Event) =>
  Date.parse(event.lastTimestamp ?? event.eventTime ?? event.metadata.creationTimestamp ?? "");

/** `5m`, or `5m (x3 over 20m)` for what happened more than once. */
export function ageOfEvent(event: Event, nowMs: number): string {
  const count = event.series?.count ?? event.count ?? 1;
  const first = Date.parse(event.firstTimestamp ?? event.eventTime ?? event.metadata.creationTimestamp ?? "");
  const last = humanDuration(nowMs - timeOf(event));
  return count > 1 ? `${last} (x${count} over ${humanDuration(nowMs - first)})` : last;
}

/** With tabs between the cells: the description lays them out with the rest. */
export function renderEvents(events: readonly Event[], nowMs: number): string {
  if (events.length === 0) return "Events:\t<none>\n";
  const lines = events.map((event) => {
    const from = event.source?.component ?? "";
    const reporter = from === "" ? (event.reportingComponent ?? "") : from;
    return `  ${event.type}\t${event.reason}\t${ageOfEvent(event, nowMs)}\t${reporter}\t${(event.message ?? "").trim()}\n`;
  });
  const head = "  Type\tReason\tAge\tFrom\tMessage\n  ----\t------\t----\t----\t-------\n";
  return `Events:\n${head}${lines.join("")}`;
}
