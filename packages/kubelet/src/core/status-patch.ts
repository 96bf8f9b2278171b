/**
 * The strategic merge patch that turns the status the API has into the one we computed, touching only what is the
 * kubelet's: conditions of others, and fields that we do not know, stay as they are. Pure.
 */
import type { PodCondition, PodStatus } from "@knarr/api/generated/types/core-v1.ts";
import { RESIZE_CONDITIONS } from "./pod-conditions.ts";

/** Fields that are the kubelet's to set and, when it has no value for them, to remove. */
const OWNED = [
  "observedGeneration",
  "phase",
  "reason",
  "message",
  "hostIP",
  "podIP",
  "startTime",
  "initContainerStatuses",
  "containerStatuses",
  "ephemeralContainerStatuses",
  "qosClass",
  "allocatedResources",
  "resources",
] as const satisfies readonly (keyof PodStatus)[];

/** Lists that strategic merge would join by address: replaced as a whole. */
const REPLACED = ["hostIPs", "podIPs"] as const satisfies readonly (keyof PodStatus)[];

/** Equal as JSON, whatever the order of keys; absent, null and empty are one. */
export function sameJson(a: unknown, b: unknown): boolean {
  return canonical(a) === canonical(b);
}

function canonical(value: unknown): string {
  return (
    JSON.stringify(value, (_, v: unknown) => {
      if (v === null || typeof v !== "object" || Array.isArray(v)) return v ?? undefined;
      const entries = Object.entries(v).filter(([, inner]) => inner !== undefined && inner !== null && !isEmpty(inner));
      return Object.fromEntries(entries.toSorted(([x], [y]) => (x < y ? -1 : 1)));
    }) ?? ""
  );
}

function isEmpty(value: unknown): boolean {
  return typeof value === "object" && value !== null && Object.keys(value).length === 0;
}

/** What makes `wanted` of `current` by merging: maps keep the keys that are not named, so that those that went are null. */
function replacing(current: unknown, wanted: unknown): unknown {
  if (wanted === undefined || !isMap(wanted) || !isMap(current)) return wanted ?? null;
  const gone = Object.keys(current).filter((key) => wanted[key] === undefined);
  return {
    ...Object.fromEntries(gone.map((key) => [key, null])),
    ...Object.fromEntries(Object.entries(wanted).map(([key, value]) => [key, replacing(current[key], value)])),
  };
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function conditionPatch(current: readonly PodCondition[], wanted: readonly PodCondition[]): PodCondition[] {
  const gone = RESIZE_CONDITIONS.filter(
    (type) => current.some((c) => c.type === type) && !wanted.some((c) => c.type === type),
  ).map((type) => ({ type, $patch: "delete" }) as unknown as PodCondition);
  const changed = wanted.flatMap((condition) => {
    const before = current.find((c) => c.type === condition.type);
    if (sameJson(before, condition)) return [];
    // Merging keeps what is not named: what went is removed by name.
    const cleared = {
      ...(before?.reason !== undefined ? { reason: null } : {}),
      ...(before?.message !== undefined ? { message: null } : {}),
    };
    return [{ ...cleared, ...condition } as PodCondition];
  });
  return [...changed, ...gone];
}

/** The body of a patch of /status, or undefined when nothing is to be written. */
export function planStatusPatch(uid: string, current: PodStatus, wanted: PodStatus): object | undefined {
  const status: Record<string, unknown> = {};
  for (const field of OWNED) {
    if (!sameJson(current[field], wanted[field])) status[field] = replacing(current[field], wanted[field]);
  }
  for (const field of REPLACED) {
    if (sameJson(current[field], wanted[field])) continue;
    const replace = (current[field]?.length ?? 0) > 0 ? [{ $patch: "replace" }] : [];
    status[field] = [...replace, ...(wanted[field] ?? [])];
  }
  const conditions = conditionPatch(current.conditions ?? [], wanted.conditions ?? []);
  if (conditions.length > 0) status.conditions = conditions;
  if (Object.keys(status).length === 0) return undefined;
  return { metadata: { uid }, status };
}
