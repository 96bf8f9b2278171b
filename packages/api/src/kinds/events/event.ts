/** events.k8s.io/v1: another view of the same stored core events. Source: pkg/apis/events/v1/conversion.go */
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { defineKind } from "../../define-kind.ts";
import type { PrinterColumn } from "../../descriptor.ts";
import { events } from "../../generated/resources.ts";
import type { Event as CoreEvent } from "../../generated/types/core-v1.ts";
import type { Event } from "../../generated/types/events-v1.ts";
import { subdomainName } from "../../validation/names.ts";
import { eventColumns, eventSelectable } from "../core/event.ts";
import { validateEvent, validateEventChange, validateNewEvent } from "../core/event-validation.ts";

/** [events.k8s.io, core] */
const renamed: readonly (readonly [string, string])[] = [
  ["regarding", "involvedObject"],
  ["note", "message"],
  ["reportingController", "reportingComponent"],
  ["deprecatedSource", "source"],
  ["deprecatedFirstTimestamp", "firstTimestamp"],
  ["deprecatedLastTimestamp", "lastTimestamp"],
  ["deprecatedCount", "count"],
];

function rename(object: object, names: ReadonlyMap<string, string>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(object).map(([key, value]) => [names.get(key) ?? key, value]));
}

const toCoreNames = new Map(renamed);
const fromCoreNames = new Map(renamed.map(([mine, theirs]) => [theirs, mine] as const));

function toCore(event: Event): CoreEvent {
  const involvedObject = event.regarding ?? {};
  return { ...rename(event, toCoreNames), involvedObject, apiVersion: "v1", kind: "Event" } as unknown as CoreEvent;
}

function fromCore(event: CoreEvent): Event {
  return { ...rename(event, fromCoreNames), apiVersion: "events.k8s.io/v1", kind: "Event" } as unknown as Event;
}

const ownNames: Readonly<Record<string, string>> = {
  reportingComponent: "reportingController",
  source: "source",
};

function selectable(): Record<string, (event: Event) => string> {
  const entries = Object.entries(eventSelectable).flatMap(([name, read]) => {
    const own = ownNames[name] ?? name.replace(/^involvedObject\./, "regarding.");
    const reader = (event: Event) => read(toCore(event));
    return own === name ? [[name, reader] as const] : [[own, reader] as const, [name, reader] as const];
  });
  return Object.fromEntries(entries);
}

const columns: PrinterColumn<Event>[] = eventColumns.map((column) => ({
  ...column,
  cell: (event, now) => column.cell(toCore(event), now),
}));

export const eventsEventKind = defineKind<Event>({
  ref: events.events,
  shortNames: ["ev"],
  prefix: "/registry/events",
  storedAs: { apiVersion: "v1", kind: "Event" },
  expires: true,
  nameRule: subdomainName,
  allowCreateOnUpdate: true,
  selectable: selectable(),
  validate(errors, event, old) {
    const core = toCore(event);
    validateEvent(errors, core, "reportingController");
    if (old === undefined) validateNewEvent(errors, core);
  },
  validateUpdate: (errors, event, old) => validateEventChange(errors, toCore(event), toCore(old)),
  columns,
  toStored: toCore,
  fromStored: (object: KubeObject) => fromCore(object as CoreEvent),
});
