/**
 * Server-side apply and the tracking of owners: metadata.managedFields.
 *
 * Every write names a manager. An update owns what it changed; an apply owns what it said, takes away what it said last
 * time and nobody else owns, and is refused where it would change another's field, unless forced.
 *
 *   applied:  {a: 1}   last time: {a: 1, b: 2}   live: {a: 1, b: 2, c: 3 (other's)}   ->   {a: 1, c: 3}
 *
 * Pure. Source: KEP-555; k8s.io/apimachinery/pkg/util/managedfields
 */
import {
  decodeFieldsV1,
  differenceOfSets,
  EMPTY_SET,
  encodeFieldsV1,
  type FieldSet,
  formatPath,
  intersectionOfSets,
  isEmptySet,
  pathsOf,
  recursiveDifference,
  setOfPaths,
  setsEqual,
  unionSets,
} from "./field-set.ts";
import type { ManagedFieldsEntry, StatusCause } from "./generated/meta-v1.ts";
import type { KubeObject } from "./object.ts";
import type { StructSchema } from "./schema.ts";
import { StatusError } from "./status-error.ts";
import { compareValues, existingPaths, fieldSetOf, mergeApplied, removePaths, type Slot } from "./typed-merge.ts";

/** Who writes: the fieldManager parameter, and through which subresource ("" is the object itself). */
export interface ManagerIdentity {
  readonly manager: string;
  readonly subresource: string;
  /** Of the object that was sent. */
  readonly apiVersion: string;
}

export interface TrackOptions {
  readonly schema: StructSchema | undefined;
  readonly identity: ManagerIdentity;
  /** RFC 3339, seconds: time of entries that change. */
  readonly now: string;
  /** Paths (as field names) that this write may not own, e.g. [["status"]] on the main resource. */
  readonly resetFields: readonly (readonly string[])[];
}

interface Owner {
  readonly entry: ManagedFieldsEntry;
  readonly set: FieldSet;
}

/** Fields that belong to the server. Source: managedfields/internal/stripmeta.go */
const SERVER_FIELDS = setOfPaths([
  ["f:apiVersion"],
  ["f:kind"],
  ["f:metadata"],
  ["f:metadata", "f:name"],
  ["f:metadata", "f:namespace"],
  ["f:metadata", "f:creationTimestamp"],
  ["f:metadata", "f:selfLink"],
  ["f:metadata", "f:uid"],
  ["f:metadata", "f:clusterName"],
  ["f:metadata", "f:generation"],
  ["f:metadata", "f:managedFields"],
  ["f:metadata", "f:resourceVersion"],
]);
/** Beyond so many managers that updated, the oldest are folded into one. */
const MAX_UPDATE_MANAGERS = 10;
const ANCIENT_MANAGER = "ancient-changes";

function decodeOwners(object: KubeObject | undefined): Owner[] {
  return (object?.metadata.managedFields ?? []).map((entry) => {
    try {
      return { entry, set: decodeFieldsV1(entry.fieldsV1 ?? {}) };
    } catch {
      // A broken entry that some older writer left owns nothing; upstream drops it too.
      return { entry, set: EMPTY_SET };
    }
  });
}

function isSame(entry: ManagedFieldsEntry, identity: ManagerIdentity, operation: "Apply" | "Update"): boolean {
  return (
    entry.manager === identity.manager &&
    entry.operation === operation &&
    (entry.subresource ?? "") === identity.subresource &&
    // An applier keeps one entry over versions; what it applied last time must be found again.
    (operation === "Apply" || entry.apiVersion === identity.apiVersion)
  );
}

function newEntry(options: TrackOptions, operation: "Apply" | "Update"): ManagedFieldsEntry {
  const { manager, subresource, apiVersion } = options.identity;
  return { manager, operation, apiVersion, fieldsType: "FieldsV1", ...(subresource === "" ? {} : { subresource }) };
}

function slotOf(schema: StructSchema | undefined): Slot {
  return { type: schema === undefined ? undefined : { kind: "struct", struct: schema }, field: undefined };
}

function withoutManagedFields(object: KubeObject): KubeObject {
  const { managedFields: _fields, ...metadata } = object.metadata;
  return { ...object, metadata };
}

function strip(set: FieldSet, resetFields: TrackOptions["resetFields"]): FieldSet {
  const reset = setOfPaths(resetFields.map((path) => path.map((name) => `f:${name}`)));
  return recursiveDifference(differenceOfSets(set, SERVER_FIELDS), reset);
}

/** Sorted as upstream: by operation (Apply first), then time, manager, version, subresource. */
function encodeOwners(owners: readonly Owner[]): ManagedFieldsEntry[] {
  const key = ({ entry }: Owner) =>
    [entry.operation, entry.time ?? "", entry.manager, entry.apiVersion, entry.subresource ?? ""].join("\0");
  return owners
    .filter(({ set }) => !isEmptySet(set))
    .toSorted((a, b) => (key(a) < key(b) ? -1 : Number(key(a) > key(b))))
    .map(({ entry, set }) => ({ ...entry, fieldsV1: encodeFieldsV1(set) }));
}

/** Entries whose set changed get the new time; the others keep theirs. */
function stamp(before: readonly Owner[], after: readonly Owner[], now: string): Owner[] {
  return after.map((owner) => {
    const old = before.find(({ entry }) => entry === owner.entry);
    if (old !== undefined && setsEqual(old.set, owner.set)) return owner;
    return { ...owner, entry: { ...owner.entry, time: now } };
  });
}

/**
 * The managedFields after a create, update or patch. `live` is undefined on create; `written` is the object as it will
 * be stored. An empty managedFields list in `written` resets the tracking, as upstream lets clients do.
 */
export function trackUpdate(
  live: KubeObject | undefined,
  written: KubeObject,
  options: TrackOptions,
): ManagedFieldsEntry[] {
  const slot = slotOf(options.schema);
  const isReset = written.metadata.managedFields?.length === 0;
  const before = isReset ? [] : decodeOwners(live);
  const base = live === undefined ? { metadata: {} } : withoutManagedFields(live);
  const { added, modified, removed } = compareValues(slot, base, withoutManagedFields(written));
  const changed = strip(unionSets(added, modified), options.resetFields);
  let found = false;
  const after = before.map((owner): Owner => {
    const rest = differenceOfSets(owner.set, removed);
    if (isSame(owner.entry, options.identity, "Update")) {
      found = true;
      return { ...owner, set: unionSets(rest, changed) };
    }
    // What somebody else now changed is no longer theirs.
    return { ...owner, set: differenceOfSets(rest, changed) };
  });
  if (!found && !isEmptySet(changed)) after.push({ entry: newEntry(options, "Update"), set: changed });
  return encodeOwners(capUpdates(stamp(before, after, options.now)));
}

function capUpdates(owners: readonly Owner[]): Owner[] {
  const updates = owners.filter(({ entry, set }) => entry.operation === "Update" && !isEmptySet(set));
  if (updates.length <= MAX_UPDATE_MANAGERS) return [...owners];
  const oldest = updates
    .toSorted((a, b) => ((a.entry.time ?? "") < (b.entry.time ?? "") ? -1 : 1))
    .slice(0, updates.length - MAX_UPDATE_MANAGERS + 1);
  const folded = oldest.reduce<FieldSet>((set, owner) => unionSets(set, owner.set), EMPTY_SET);
  const [first] = oldest;
  if (first === undefined) return [...owners];
  const ancient: Owner = {
    entry: { ...first.entry, manager: ANCIENT_MANAGER, subresource: undefined },
    set: folded,
  };
  return [...owners.filter((owner) => !oldest.includes(owner)), ancient];
}

export interface ApplyOptions extends TrackOptions {
  readonly force: boolean;
}

export interface ApplyResult {
  /** The live object with the configuration applied, without managedFields; defaulting comes after. */
  readonly object: KubeObject;
  /**
   * To be called with the object as it will be stored (after defaulting and admission): the new managedFields. What
   * they added belongs to nobody.
   */
  readonly managedFields: (stored: KubeObject) => ManagedFieldsEntry[];
}

/** Applies `applied` to `live` (undefined creates). Throws StatusError 409 naming each conflict unless forced. */
export function serverSideApply(live: KubeObject | undefined, applied: KubeObject, options: ApplyOptions): ApplyResult {
  const slot = slotOf(options.schema);
  const before = withFirstApply(live, options, slot);
  const configuration = withoutManagedFields(applied);
  const said = strip(fieldSetOf(slot, configuration), options.resetFields);
  const mine = before.find(({ entry }) => isSame(entry, options.identity, "Apply"));
  const others = before.filter((owner) => owner !== mine);
  const base = live === undefined ? undefined : withoutManagedFields(live);
  const merged = (base === undefined ? configuration : mergeApplied(slot, base, configuration)) as KubeObject;
  const pruned = prune(slot, merged, mine?.set ?? EMPTY_SET, said, others);
  const { added, modified, removed } = compareValues(slot, base ?? { metadata: {} }, pruned);
  const changed = unionSets(added, modified);
  const conflicts = others.flatMap(({ entry, set }) =>
    [...pathsOf(intersectionOfSets(set, intersectionOfSets(changed, said)))].map((path) => ({ entry, path })),
  );
  if (conflicts.length > 0 && !options.force) throw conflictError(conflicts);
  const entry = mine?.entry ?? newEntry(options, "Apply");
  return {
    object: pruned,
    managedFields: (stored) => {
      const value = withoutManagedFields(stored);
      const kept = others.map((owner) => ({
        ...owner,
        set: existingPaths(
          slot,
          value,
          differenceOfSets(differenceOfSets(owner.set, removed), intersectionOfSets(changed, said)),
        ),
      }));
      const own: Owner = { entry: { ...entry, apiVersion: options.identity.apiVersion }, set: said };
      const isUnchanged = mine !== undefined && setsEqual(mine.set, said) && entry.apiVersion === own.entry.apiVersion;
      return encodeOwners([
        ...stamp(before, kept, options.now),
        ...stamp(isUnchanged ? [mine] : [], [isUnchanged ? mine : own], options.now),
      ]);
    },
  };
}

/** An object that nobody tracked so far belongs, as it is, to whoever wrote it before the first apply. */
function withFirstApply(live: KubeObject | undefined, options: ApplyOptions, slot: Slot): Owner[] {
  const owners = decodeOwners(live);
  if (live === undefined || owners.length > 0) return owners;
  const set = strip(fieldSetOf(slot, withoutManagedFields(live)), []);
  if (isEmptySet(set)) return [];
  const entry: ManagedFieldsEntry = {
    manager: "before-first-apply",
    operation: "Update",
    apiVersion: live.apiVersion ?? options.identity.apiVersion,
    fieldsType: "FieldsV1",
    time: options.now,
  };
  return [{ entry, set }];
}

/** Takes out of `merged` what the manager applied before, does not apply now, and nobody else owns. */
function prune(slot: Slot, merged: KubeObject, last: FieldSet, said: FieldSet, others: readonly Owner[]): KubeObject {
  const theirs = others.reduce<FieldSet>((set, owner) => unionSets(set, owner.set), EMPTY_SET);
  const gone = withoutAncestorsOf(differenceOfSets(last, said), unionSets(theirs, said));
  return isEmptySet(gone) ? merged : (removePaths(slot, merged, gone) as KubeObject);
}

/** Members of `set` that `owned` has neither as such nor anything below. */
function withoutAncestorsOf(set: FieldSet, owned: FieldSet): FieldSet {
  const children = new Map<string, FieldSet>();
  for (const [element, child] of set.children) {
    const other = owned.children.get(element);
    const rest = other === undefined ? child : withoutAncestorsOf(child, other);
    if (!isEmptySet(rest)) children.set(element, rest);
  }
  return { member: set.member && isEmptySet(owned), children };
}

function managerText(entry: ManagedFieldsEntry): string {
  const subresource = (entry.subresource ?? "") === "" ? "" : ` with subresource ${JSON.stringify(entry.subresource)}`;
  const name = JSON.stringify(entry.manager ?? "");
  return entry.operation === "Apply" ? `${name}${subresource}` : `${name}${subresource} using ${entry.apiVersion}`;
}

/** Source: managedfields/internal/conflict.go */
function conflictError(conflicts: readonly { entry: ManagedFieldsEntry; path: readonly string[] }[]): StatusError {
  const causes: StatusCause[] = conflicts.map(({ entry, path }) => ({
    reason: "FieldManagerConflict",
    message: `conflict with ${managerText(entry)}`,
    field: formatPath(path),
  }));
  const [first] = conflicts;
  const byManager = Map.groupBy(conflicts, ({ entry }) => managerText(entry));
  const lines = [...byManager.keys()]
    .sort()
    .flatMap((manager) => [
      `conflicts with ${manager}:`,
      ...(byManager.get(manager) ?? []).map(({ path }) => `- ${formatPath(path)}`),
    ]);
  const message =
    conflicts.length === 1 && first !== undefined
      ? `Apply failed with 1 conflict: conflict with ${managerText(first.entry)}: ${formatPath(first.path)}`
      : `Apply failed with ${conflicts.length} conflicts: ${lines.join("\n")}`;
  return new StatusError({
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Failure",
    message,
    reason: "Conflict",
    details: { causes },
    code: 409,
  });
}
