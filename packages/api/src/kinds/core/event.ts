import { nameColumn, textColumn } from "../../columns.ts";
import { defineKind } from "../../define-kind.ts";
import type { PrinterColumn } from "../../descriptor.ts";
import { core } from "../../generated/resources.ts";
import type { Event } from "../../generated/types/core-v1.ts";
import { ageSince } from "../../human-duration.ts";
import { subdomainName } from "../../validation/names.ts";
import { validateEvent } from "./event-validation.ts";

const has = (text: string | undefined): text is string => text !== undefined && text !== null && text !== "";

function firstSeen(event: Event, now: number): string {
  return ageSince(has(event.firstTimestamp) ? event.firstTimestamp : event.eventTime, now);
}

function lastSeen(event: Event, now: number): string {
  if (event.series !== undefined) return ageSince(event.series.lastObservedTime, now);
  return has(event.lastTimestamp) ? ageSince(event.lastTimestamp, now) : firstSeen(event, now);
}

function countOf(event: Event): number {
  return event.series === undefined ? event.count || 1 : (event.series.count ?? 0);
}

function objectOf({ involvedObject }: Event): string {
  const kind = (involvedObject.kind ?? "").toLowerCase();
  return has(involvedObject.name) ? `${kind}/${involvedObject.name}` : kind;
}

function sourceOf(event: Event): string {
  const join = (component: string, instance: string) => (instance === "" ? component : `${component}, ${instance}`);
  if (has(event.source?.component)) return join(event.source.component, event.source.host ?? "");
  return join(event.reportingComponent ?? "", event.reportingInstance ?? "");
}

export const eventColumns: PrinterColumn<Event>[] = [
  textColumn("Last Seen", lastSeen),
  textColumn("Type", (event) => event.type ?? ""),
  textColumn("Reason", (event) => event.reason ?? ""),
  textColumn("Object", objectOf),
  textColumn("Subobject", (event) => event.involvedObject.fieldPath ?? "", "wide"),
  textColumn("Source", sourceOf, "wide"),
  textColumn("Message", (event) => (event.message ?? "").trim()),
  textColumn("First Seen", firstSeen, "wide"),
  textColumn("Count", countOf, "wide"),
  { ...nameColumn<Event>(), priority: 1 },
];

/** Fields by which events are selected; events.k8s.io calls them otherwise but accepts these too. */
export const eventSelectable: Readonly<Record<string, (event: Event) => string>> = {
  "involvedObject.kind": (event) => event.involvedObject.kind ?? "",
  "involvedObject.namespace": (event) => event.involvedObject.namespace ?? "",
  "involvedObject.name": (event) => event.involvedObject.name ?? "",
  "involvedObject.uid": (event) => event.involvedObject.uid ?? "",
  "involvedObject.apiVersion": (event) => event.involvedObject.apiVersion ?? "",
  "involvedObject.resourceVersion": (event) => event.involvedObject.resourceVersion ?? "",
  "involvedObject.fieldPath": (event) => event.involvedObject.fieldPath ?? "",
  reason: (event) => event.reason ?? "",
  reportingComponent: (event) => event.reportingComponent ?? "",
  source: (event) => (has(event.source?.component) ? event.source.component : (event.reportingComponent ?? "")),
  type: (event) => event.type ?? "",
};

/** Source: pkg/registry/core/event/strategy.go */
export const eventKind = defineKind<Event>({
  ref: core.events,
  shortNames: ["ev"],
  prefix: "/registry/events",
  expires: true,
  nameRule: subdomainName,
  allowCreateOnUpdate: true,
  selectable: eventSelectable,
  validate: (errors, event) => validateEvent(errors, event, "reportingComponent"),
  columns: eventColumns,
});
