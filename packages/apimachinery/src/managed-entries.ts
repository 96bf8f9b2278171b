/**
 * Entries of metadata.managedFields as owners and back: reading, order, and the cap on how many there may be.
 * Source: k8s.io/apimachinery/pkg/util/managedfields/internal: managedfields.go, capmanagers.go
 */
import type { Owner } from "./apply-conflicts.ts";
import { decodeFieldsV1, encodeFieldsV1, isEmptySet, unionSets } from "./field-set.ts";
import type { ManagedFieldsEntry } from "./generated/meta-v1.ts";
import { compareUtf8 } from "./json.ts";
import { parseRfc3339 } from "./time.ts";

/** Beyond so many managers that updated, the oldest are folded into one per version. */
const MAX_UPDATE_MANAGERS = 10;
const ANCIENT_MANAGER = "ancient-changes";

/**
 * What makes two entries the same manager. An applier keeps one entry over versions: what it applied last time must be
 * found again.
 */
export function identityText({ manager, operation, apiVersion, subresource }: ManagedFieldsEntry): string {
  return JSON.stringify({
    ...(manager === undefined || manager === "" ? {} : { manager }),
    operation,
    ...(operation === "Apply" ? {} : { apiVersion }),
    ...(subresource === undefined || subresource === "" ? {} : { subresource }),
  });
}

/** Throws TypeError in upstream's words for entries that can't be read. Of the same manager twice, the last counts. */
export function decodeOwners(entries: readonly ManagedFieldsEntry[]): Owner[] {
  const owners = new Map<string, Owner>();
  for (const [i, entry] of entries.entries()) {
    if (entry.operation !== "Apply" && entry.operation !== "Update") {
      throw new TypeError("operation must be `Apply` or `Update`");
    }
    if ((entry.apiVersion ?? "") === "") throw new TypeError("apiVersion must not be empty");
    if (entry.fieldsType !== "FieldsV1") {
      const type = entry.fieldsType ?? "";
      const what = type === "" ? "missing fieldsType" : `invalid fieldsType ${JSON.stringify(type)}`;
      throw new TypeError(`${what} in managed fields entry ${i}`);
    }
    owners.set(identityText(entry), { entry, set: decodeFieldsV1(entry.fieldsV1 ?? {}) });
  }
  return [...owners.values()];
}

function seconds({ time }: ManagedFieldsEntry): number {
  return time === undefined ? 0 : Math.floor((parseRfc3339(time) ?? 0) / 1000);
}

/** The same text, which most entries have, need not be read. */
function compareTimes(a: ManagedFieldsEntry, b: ManagedFieldsEntry): number {
  return a.time === b.time ? 0 : seconds(a) - seconds(b);
}

/** Sorted by operation (Apply first), then time, manager, version, subresource. */
export function encodeOwners(owners: readonly Owner[]): ManagedFieldsEntry[] {
  return owners
    .filter(({ set }) => !isEmptySet(set))
    .map(({ entry, set }) => ({ ...entry, fieldsV1: encodeFieldsV1(set) }))
    .sort(
      (a, b) =>
        compareUtf8(a.operation ?? "", b.operation ?? "") ||
        compareTimes(a, b) ||
        compareUtf8(a.manager ?? "", b.manager ?? "") ||
        compareUtf8(a.apiVersion ?? "", b.apiVersion ?? "") ||
        compareUtf8(a.subresource ?? "", b.subresource ?? ""),
    );
}

/** Folds the oldest updaters of each version into one entry until few enough are left. */
export function capUpdates(owners: readonly Owner[]): Owner[] {
  const kept = owners.filter(({ set }) => !isEmptySet(set));
  const updaters = kept.filter(({ entry }) => entry.operation === "Update");
  let excess = updaters.length - MAX_UPDATE_MANAGERS;
  if (excess <= 0) return kept;
  updaters.sort((a, b) => compareTimes(a.entry, b.entry) || compareUtf8(identityText(a.entry), identityText(b.entry)));
  const buckets = new Map<string, Owner>();
  const folded = new Set<Owner>();
  for (const owner of updaters) {
    if (excess <= 0) break;
    const version = owner.entry.apiVersion ?? "";
    const bucket = buckets.get(version);
    buckets.set(version, bucket === undefined ? owner : fold(bucket, owner));
    if (bucket === undefined) continue;
    folded.add(bucket).add(owner);
    excess--;
  }
  const ancient = [...buckets.values()].filter((owner) => !updaters.includes(owner));
  return oncePerManager([...kept.filter((owner) => !folded.has(owner)), ...ancient]);
}

/** An earlier fold may have left the same entry already. */
function oncePerManager(owners: readonly Owner[]): Owner[] {
  const unique = new Map<string, Owner>();
  for (const { entry, set } of owners) {
    const identity = identityText(entry);
    const known = unique.get(identity);
    unique.set(identity, { entry, set: known === undefined ? set : unionSets(known.set, set) });
  }
  return [...unique.values()];
}

function fold(bucket: Owner, { entry, set }: Owner): Owner {
  const { subresource: _subresource, ...rest } = entry;
  return { entry: { ...rest, manager: ANCIENT_MANAGER }, set: unionSets(bucket.set, set) };
}
