/**
 * Server-side apply and the tracking of owners: metadata.managedFields.
 *
 * Every write names a manager. An update owns what it changed; an apply owns what it said, takes away what it said last
 * time and nobody else owns, and is refused where it would change another's field, unless forced.
 *
 *   applied:  {a: 1}   last time: {a: 1, b: 2}   live: {a: 1, b: 2, c: 3 (other's)}   ->   {a: 1, c: 3}
 *
 * Pure. Source: KEP-555; k8s.io/apimachinery/pkg/util/managedfields; structured-merge-diff, merge/update.go
 * Differs from upstream: paths of entries at another version of the kind are taken as they are, not converted.
 */
import { conflictError, type FieldConflict, type Owner } from "./apply-conflicts.ts";
import {
  differenceOfSets,
  EMPTY_SET,
  type FieldSet,
  hasPath,
  intersectionOfSets,
  isEmptySet,
  pathsOf,
  recursiveDifference,
  setOfPaths,
  setsEqual,
  unionSets,
} from "./field-set.ts";
import type { ManagedFieldsEntry } from "./generated/meta-v1.ts";
import { allowedByLastApplied, withLastApplied } from "./last-applied.ts";
import { capUpdates, decodeOwners, encodeOwners, identityText } from "./managed-entries.ts";
import type { KubeObject } from "./object.ts";
import type { StructSchema } from "./schema.ts";
import { statusErrors } from "./status-error.ts";
import {
  type Comparison,
  compareValues,
  configurationErrors,
  fieldSetOf,
  mergeApplied,
  removePaths,
  Slot,
  withNamedFields,
} from "./typed-merge.ts";

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
  /** The zero value of the type: what an object has of which nobody said anything. Default: nothing. */
  readonly empty?: object | undefined;
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
const BEFORE_FIRST_APPLY = "before-first-apply";
/** The manager of `kubectl apply --server-side`, which takes over from kubectl's own client-side apply. */
const KUBECTL = "kubectl";

type Operation = "Apply" | "Update";

function entryOf(options: TrackOptions, operation: Operation, manager = options.identity.manager): ManagedFieldsEntry {
  const { subresource, apiVersion } = options.identity;
  return {
    manager: manager === "" ? "unknown" : manager,
    operation,
    apiVersion,
    fieldsType: "FieldsV1",
    ...(subresource === "" ? {} : { subresource }),
  };
}

const kindSlots = new WeakMap<StructSchema, Slot>();
const UNKNOWN_KIND = new Slot(undefined);

function slotOf(schema: StructSchema | undefined): Slot {
  if (schema === undefined) return UNKNOWN_KIND;
  let slot = kindSlots.get(schema);
  if (slot === undefined) {
    slot = new Slot({ kind: "struct", struct: schema });
    kindSlots.set(schema, slot);
  }
  return slot;
}

function withoutManagedFields(object: KubeObject): KubeObject {
  if (object.metadata.managedFields === undefined) return object;
  const { managedFields: _fields, ...metadata } = object.metadata;
  return { ...object, metadata };
}

const resetSets = new WeakMap<object, FieldSet>();

function resetSet({ resetFields }: TrackOptions): FieldSet {
  let set = resetSets.get(resetFields);
  if (set === undefined) {
    set = setOfPaths(resetFields.map((path) => path.map((name) => `f:${name}`)));
    resetSets.set(resetFields, set);
  }
  return set;
}

/** A comparison without what this write may not touch: the writer neither gains it, nor does anybody lose it. */
function compare(slot: Slot, before: object, after: object, reset: FieldSet): Comparison {
  const { added, modified, removed } = compareValues(slot, before, after);
  return {
    added: recursiveDifference(added, reset),
    modified: recursiveDifference(modified, reset),
    removed: recursiveDifference(removed, reset),
  };
}

/**
 * The managedFields after a create, update or patch. `live` is what was there before: on create the zero value of the
 * type, or undefined. `written` is the object as it will be stored, with the managedFields that the client sent: upstream
 * lets clients edit those, and empty ones end the tracking until the next apply.
 */
export function trackUpdate(
  live: KubeObject | undefined,
  written: KubeObject,
  options: TrackOptions,
): ManagedFieldsEntry[] {
  const owners = startingOwners(live, written, options.identity.subresource !== "");
  const isUpdate = (live?.metadata.uid ?? "") !== "";
  // An object that nobody applied and that lost its owners stays without.
  if (owners.length === 0 && isUpdate) return [];
  const base = live === undefined ? { metadata: {}, ...options.empty } : withoutManagedFields(live);
  return encodeOwners(capUpdates(afterUpdate(owners, base, withoutManagedFields(written), options)));
}

function startingOwners(live: KubeObject | undefined, written: KubeObject, isSubresource: boolean): Owner[] {
  const sent = written.metadata.managedFields;
  if (!isSubresource && sent !== undefined) {
    const isReset = sent.length === 0 || (sent.length === 1 && Object.keys(sent[0] ?? {}).length === 0);
    if (isReset) return [];
    const owners = ownersOrNone(sent);
    if (owners.length > 0) return owners;
  }
  return ownersOrNone(live?.metadata.managedFields);
}

/** Entries that can't be read are worth nothing together: upstream starts anew. */
function ownersOrNone(entries: readonly ManagedFieldsEntry[] | undefined): Owner[] {
  try {
    return decodeOwners(entries ?? []);
  } catch (error) {
    if (error instanceof TypeError) return [];
    throw error;
  }
}

function afterUpdate(
  owners: readonly Owner[],
  before: object,
  after: object,
  options: TrackOptions,
  manager = options.identity.manager,
): Owner[] {
  const { added, modified, removed } = compare(slotOf(options.schema), before, after, resetSet(options));
  const changed = unionSets(added, modified);
  // What somebody now changed or removed is no longer anybody else's.
  const lost = owners.length === 0 ? EMPTY_SET : unionSets(changed, removed);
  const others = owners.map((owner) => withoutSet(owner, lost));
  const gained = differenceOfSets(differenceOfSets(changed, removed), SERVER_FIELDS);
  if (isEmptySet(gained)) return others;
  const entry = { ...entryOf(options, "Update", manager), time: options.now };
  const identity = identityText(entry);
  const mine = others.find((owner) => identityText(owner.entry) === identity);
  const rest = others.filter((owner) => owner !== mine);
  return [...rest, { entry, set: unionSets(mine?.set ?? EMPTY_SET, gained) }];
}

function withoutSet(owner: Owner, lost: FieldSet): Owner {
  return { ...owner, set: differenceOfSets(owner.set, lost) };
}

export interface ApplyOptions extends TrackOptions {
  readonly force: boolean;
}

export interface ApplyResult {
  /** The live object with the configuration applied, without managedFields; defaulting comes after. */
  readonly object: KubeObject;
  /** The new managedFields. What defaulting and admission add to the stored object belongs to nobody. */
  readonly managedFields: (stored: KubeObject) => ManagedFieldsEntry[];
}

/**
 * Applies `applied` to `live` (undefined creates). Throws StatusError: 409 naming each conflict unless forced, 500 (as
 * upstream) for list items that can't be told apart and for managedFields that can't be read.
 */
export function serverSideApply(live: KubeObject | undefined, applied: KubeObject, options: ApplyOptions): ApplyResult {
  const slot = slotOf(options.schema);
  const configuration = withoutManagedFields(applied);
  checkConfiguration(slot, configuration);
  const base = live === undefined ? undefined : withoutManagedFields(live);
  const before = trackedOwners(live, base, options);
  const reset = resetSet(options);
  const entry = entryOf(options, "Apply");
  const identity = identityText(entry);
  const mine = before.find((owner) => identityText(owner.entry) === identity);
  const others = before.filter((owner) => owner !== mine);
  const said = recursiveDifference(fieldSetOf(slot, configuration), reset);
  const merged = mergeApplied(slot, base ?? { metadata: {} }, configuration) as KubeObject;
  const owned = others.reduce((set, owner) => unionSets(set, owner.set), said);
  const object = prune(slot, merged, mine?.set ?? EMPTY_SET, owned);
  const { added, modified, removed } = compare(slot, base ?? { metadata: {}, ...options.empty }, object, reset);
  const changed = unionSets(added, modified);
  if (!options.force) refuseConflicts(conflictsOf(others, changed), slot, base, options);
  const isChanged = ![added, modified, removed].every(isEmptySet);
  const own: Owner = {
    entry: { ...entry, ...timeOf(isChanged ? options.now : mine?.entry.time) },
    set: differenceOfSets(said, SERVER_FIELDS),
  };
  const lost = unionSets(changed, removed);
  const owners = encodeOwners([...others.map((owner) => withoutSet(owner, lost)), own]);
  const isKubectl = options.identity.manager === KUBECTL;
  return { object: isKubectl ? withLastApplied(object, configuration) : object, managedFields: () => owners };
}

/** An apply that changes the owners only leaves the times alone. */
function timeOf(time: string | undefined): Pick<ManagedFieldsEntry, "time"> {
  return time === undefined ? {} : { time };
}

function checkConfiguration(slot: Slot, applied: KubeObject): void {
  const errors = configurationErrors(slot, applied);
  if (errors.length === 0) return;
  const { namespace = "", name = "" } = applied.metadata;
  const why = errors.length === 1 ? errors[0] : `errors:\n${errors.map((error) => `  ${error}`).join("\n")}`;
  const [version = "", group = ""] = (applied.apiVersion ?? "").split("/").reverse();
  const what = `${namespace}/${name}; ${group}/${version}, Kind=${applied.kind}`;
  throw statusErrors.unspecified(`failed to create typed patch object (${what}): ${why}`);
}

/** The owners so far; an object that nobody tracked belongs, as it is, to whoever wrote it before the first apply. */
function trackedOwners(live: KubeObject | undefined, base: KubeObject | undefined, options: TrackOptions): Owner[] {
  let owners: Owner[];
  try {
    owners = decodeOwners(live?.metadata.managedFields ?? []);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw statusErrors.unspecified(`failed to decode managed fields: ${error.message}`);
  }
  if (base === undefined || owners.length > 0) return owners;
  return afterUpdate([], { metadata: {}, ...options.empty }, base, options, BEFORE_FIRST_APPLY);
}

/**
 * Takes out of `merged` what the manager applied before (`last`) and nobody owns now. A struct goes as a whole with the
 * last of what was applied in it, and with it what defaulting had put there.
 */
function prune(slot: Slot, merged: KubeObject, last: FieldSet, owned: FieldSet): KubeObject {
  if (isEmptySet(last)) return merged;
  const remove = (set: FieldSet) => (isEmptySet(set) ? merged : removePaths(slot, merged, set)) as KubeObject;
  const namedPaths = (object: KubeObject) => withNamedFields(slot, fieldSetOf(slot, object));
  const all = namedPaths(merged);
  const wasApplied = withNamedFields(slot, last);
  const kept = unionSets(namedPaths(remove(wasApplied)), withNamedFields(slot, owned));
  const withOwned = remove(differenceOfSets(all, kept));
  return remove(intersectionOfSets(differenceOfSets(all, namedPaths(withOwned)), wasApplied));
}

function conflictsOf(others: readonly Owner[], changed: FieldSet): FieldConflict[] {
  return others.flatMap((owner) =>
    [...pathsOf(intersectionOfSets(owner.set, changed))].map((path) => ({ entry: owner.entry, path })),
  );
}

/**
 * kubectl may change what its client-side apply set and nobody changed since: the annotation says what that was.
 * Source: managedfields/internal/lastappliedmanager.go
 */
function refuseConflicts(
  conflicts: readonly FieldConflict[],
  slot: Slot,
  live: KubeObject | undefined,
  { identity }: ApplyOptions,
): void {
  if (conflicts.length === 0) return;
  const allowed =
    identity.manager === KUBECTL && live !== undefined
      ? allowedByLastApplied(slot, live, identity.apiVersion)
      : EMPTY_SET;
  const refused = conflicts.filter(({ path }) => !hasPath(allowed, path));
  if (refused.length > 0) throw conflictError(refused);
}

/** Whether two lists of entries differ in more than their times; such a difference alone is no reason to write. */
export function sameOwners(
  a: readonly ManagedFieldsEntry[] | undefined,
  b: readonly ManagedFieldsEntry[] | undefined,
): boolean {
  const x = ownersOrNone(a);
  const y = ownersOrNone(b);
  if (x.length !== y.length) return false;
  const byIdentity = new Map(y.map((owner) => [identityText(owner.entry), owner]));
  return x.every((owner) => {
    const other = byIdentity.get(identityText(owner.entry));
    return other !== undefined && owner.entry.apiVersion === other.entry.apiVersion && setsEqual(owner.set, other.set);
  });
}
