/** Events in the form of v1. Source: pkg/apis/core/validation/events.go */
import { isQualifiedName } from "@knarr/apimachinery/name-validation.ts";
import type { Event } from "../../generated/types/core-v1.ts";
import type { FieldErrors } from "../../validation/field-errors.ts";
import { validateImmutable } from "../../validation/object-meta.ts";
import { utf8Length } from "../../validation/sizes.ts";

const maxBytes = { reportingInstance: 128, action: 128, reason: 128, message: 1024 } as const;

const has = (text: string | undefined): text is string => text !== undefined && text !== null && text !== "";

/** What both versions require. Events with an eventTime, the newer ones, may be about objects of any namespace. */
export function validateEvent(
  errors: FieldErrors,
  event: Event,
  controllerField: "reportingComponent" | "reportingController",
): void {
  const about = event.involvedObject.namespace ?? "";
  const own = event.metadata.namespace ?? "";
  const isNew = has(event.eventTime);
  const hasHome = own === "default" || (isNew && own === "kube-system");
  if (about === "" ? !hasHome : !isNew && about !== own) {
    errors.invalid("involvedObject.namespace", about, "does not match event.namespace");
  }
  if (!isNew) return;
  if (!has(event.reportingComponent)) errors.required(controllerField);
  errors.invalidAll(controllerField, event.reportingComponent ?? "", isQualifiedName(event.reportingComponent ?? ""));
  for (const [name, max] of Object.entries(maxBytes) as [keyof typeof maxBytes, number][]) {
    if (!has(event[name]) && name !== "message") errors.required(name);
    if (utf8Length(event[name] ?? "") > max) errors.invalid(name, "", `can have at most ${max} characters`);
  }
}

function validateSeries(errors: FieldErrors, { series }: Event): void {
  if (series === undefined) return;
  if ((series.count ?? 0) < 2) errors.invalid("series.count", "", "should be at least 2");
  if (!has(series.lastObservedTime)) errors.required("series.lastObservedTime");
}

/** What events.k8s.io/v1 requires of a new event besides. */
export function validateNewEvent(errors: FieldErrors, event: Event): void {
  validateSeries(errors, event);
  if (!has(event.eventTime)) errors.required("eventTime");
  if (event.type !== "Normal" && event.type !== "Warning") {
    errors.invalid("type", "", `has invalid value: ${event.type ?? ""}`);
  }
  const { source, ...old } = event;
  for (const name of ["firstTimestamp", "lastTimestamp", "count"] as const) {
    if (old[name]) errors.invalid(name, "", "needs to be unset");
  }
  if (has(source?.component) || has(source?.host)) errors.invalid("source", "", "needs to be unset");
}

const frozen = [
  ...["involvedObject", "reason", "message", "source", "firstTimestamp", "lastTimestamp", "count", "type"],
  ...["eventTime", "action", "related", "reportingController", "reportingInstance"],
];

/** Under events.k8s.io/v1 only the series of an event changes. */
export function validateEventChange(errors: FieldErrors, event: Event, old: Event): void {
  const fields = (of: Event): Record<string, unknown> => ({
    ...of,
    // Clients that keep microseconds only must be able to write back what they read.
    eventTime: (of.eventTime ?? "").replace(/(\.\d{6})\d+/, "$1"),
    reportingController: of.reportingComponent,
  });
  const [now, before] = [fields(event), fields(old)];
  if (JSON.stringify(event.series) !== JSON.stringify(old.series)) validateSeries(errors, event);
  for (const name of frozen) validateImmutable(errors, name, now[name], before[name]);
}
