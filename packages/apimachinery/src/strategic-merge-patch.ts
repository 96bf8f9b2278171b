/**
 * Strategic merge patch: merge patch that knows which lists are keyed.
 *
 *   {"spec":{"containers":[{"name":"a","image":"x"}]}}   changes the container named a and keeps the others
 *   {"$patch":"replace", ...} / {"$patch":"delete"}       replaces or empties a map; in a keyed list, the list or an item
 *   {"$retainKeys":["a"], ...}                            drops all other keys of the map
 *   {"$deleteFromPrimitiveList/finalizers":["x"]}         takes values from a list of scalars
 *   {"$setElementOrder/containers":[{"name":"b"}, ...]}   says in which order the items shall stand
 *
 * Source: k8s.io/apimachinery/pkg/util/strategicpatch; design: contributors/devel/sig-api-machinery/strategic-merge-patch.md
 * Differs from upstream: what is wrong with a patch is always a 400; some of it is a 500 there, without a reason.
 */
import { goTypeOf, showGo } from "./go-text.ts";
import { cloneJson, stringifyJson } from "./json.ts";
import { PatchError } from "./patch-error.ts";
import {
  type FieldSchema,
  hasKey,
  isJsonObject,
  type JsonObject,
  type StructSchema,
  setKey,
  type TypeSchema,
} from "./schema.ts";

const PATCH = "$patch";
const RETAIN_KEYS = "$retainKeys";
const DELETE_FROM = "$deleteFromPrimitiveList";
const SET_ORDER = "$setElementOrder";

/** The patched object; neither argument is changed. Throws PatchError. */
export function applyStrategicMergePatch(original: JsonObject, patch: JsonObject, schema: StructSchema): JsonObject {
  return mergeMap(cloneJson(original), cloneJson(patch), (key) => schema.fields.get(key));
}

/** What is known of the field of a map or struct. */
interface Field {
  readonly type: TypeSchema;
  readonly patchStrategy?: string | undefined;
  readonly patchMergeKey?: string | undefined;
}
type FieldLookup = (key: string) => Field | FieldSchema | undefined;

function lookupIn(type: TypeSchema | undefined): FieldLookup {
  if (type?.kind === "struct") return (key) => type.struct.fields.get(key);
  return type?.kind === "map" ? () => ({ type: type.values }) : () => undefined;
}

const malformed = (message: string) => new PatchError("malformed", message);

function expected(wanted: unknown, found: unknown): PatchError {
  return malformed(`expected a ${goTypeOf(wanted)}, but received a ${goTypeOf(found)}`);
}

function noMergeKey(item: unknown, key: string): PatchError {
  return malformed(`map: ${showGo(item)} does not contain declared merge key: ${key}`);
}

function own(object: JsonObject, key: string): unknown {
  return hasKey(object, key) ? object[key] : undefined;
}

/** Changes and returns `original`; `patch` is used up. */
function mergeMap(original: JsonObject, patch: JsonObject, lookup: FieldLookup): JsonObject {
  if (hasKey(patch, PATCH)) return directed(patch);
  retainKeys(original, patch);
  for (const key of Object.keys(patch)) {
    if (key.startsWith(SET_ORDER)) mergeOrdered(original, patch, key, lookup);
  }
  for (const [key, value] of Object.entries(patch)) {
    const isDeletion = key.startsWith(DELETE_FROM);
    const name = isDeletion ? afterSlash(key, DELETE_FROM, "primitive list") : key;
    mergeField({ original, name, value, isDeletion, field: lookup(name) });
  }
  return original;
}

/** A map that says itself what shall become of it. */
function directed(patch: JsonObject): JsonObject {
  const { [PATCH]: directive, ...rest } = patch;
  if (directive === "replace") return rest;
  if (directive === "delete") return {};
  throw malformed(`unknown patch type: ${showGo(directive)} in map: ${showGo(patch)}`);
}

function afterSlash(key: string, prefix: string, what: string): string {
  if (!key.startsWith(`${prefix}/`)) throw malformed(`invalid patch format of ${what}`);
  return key.slice(prefix.length + 1);
}

function retainKeys(original: JsonObject, patch: JsonObject): void {
  const keys = patch[RETAIN_KEYS];
  if (keys === undefined) return;
  delete patch[RETAIN_KEYS];
  const invalid = malformed("invalid patch format of retainKeys");
  if (!Array.isArray(keys)) throw invalid;
  const retained = new Set<unknown>(keys);
  for (const [key, value] of Object.entries(patch)) {
    const isDirective = key.startsWith(DELETE_FROM) || key.startsWith(SET_ORDER);
    if (value !== null && !isDirective && !retained.has(key)) throw invalid;
  }
  for (const key of Object.keys(original)) if (!retained.has(key)) delete original[key];
}

interface FieldMerge {
  readonly original: JsonObject;
  readonly name: string;
  readonly value: unknown;
  /** `value` lists what shall go. */
  readonly isDeletion: boolean;
  readonly field: Field | undefined;
}

function mergeField({ original, name, value, isDeletion, field }: FieldMerge): void {
  if (value === null) {
    delete original[name];
    return;
  }
  const current = own(original, name);
  if (Array.isArray(value) && Array.isArray(current)) {
    original[name] = mergeListField(current, value, field, isDeletion);
  } else if (isDeletion) {
    // There is nothing that anything could be taken from.
  } else if (isJsonObject(value) && isJsonObject(current)) {
    const isReplaced = strategiesOf(field).includes("replace");
    setKey(original, name, isReplaced ? value : mergeMap(current, value, lookupIn(field?.type)));
  } else {
    const cleaned = withoutDirectives(value);
    if (cleaned === undefined) delete original[name];
    else setKey(original, name, cleaned);
  }
}

function strategiesOf(field: Field | undefined): readonly string[] {
  return field?.patchStrategy?.split(",") ?? [];
}

function mergeListField(
  current: unknown[],
  value: unknown[],
  field: Field | undefined,
  isDeletion: boolean,
): readonly unknown[] {
  if (isDeletion || strategiesOf(field).includes("merge")) return mergeList(current, value, field, isDeletion);
  return value;
}

/**
 * What is taken over as it is must not carry directives or nulls into the object. A map with a $patch of its own
 * vanishes (undefined): there is nothing that it could be applied to.
 */
function withoutDirectives(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutDirectives).filter((item) => item !== undefined);
  if (!isJsonObject(value)) return value;
  if (hasKey(value, PATCH)) return undefined;
  const result: JsonObject = {};
  for (const [key, inner] of Object.entries(value)) {
    const isDirective = key === RETAIN_KEYS || key.startsWith(DELETE_FROM) || key.startsWith(SET_ORDER);
    const cleaned = inner === null || isDirective ? undefined : withoutDirectives(inner);
    if (cleaned !== undefined) setKey(result, key, cleaned);
  }
  return result;
}

/** Merges a list together with its $setElementOrder, and takes both out of the patch. */
function mergeOrdered(original: JsonObject, patch: JsonObject, directive: string, lookup: FieldLookup): void {
  const order = patch[directive];
  delete patch[directive];
  if (!Array.isArray(order)) throw expected([], order);
  const name = afterSlash(directive, SET_ORDER, "setElementOrder list");
  const field = lookup(name);
  const current = own(original, name);
  const change = own(patch, name);
  if (change === null || (current === undefined && change === undefined)) return;
  if (current !== undefined && !Array.isArray(current)) throw expected([], current);
  if (change !== undefined && !Array.isArray(change)) throw expected([], change);
  const mergeKey = field?.patchMergeKey;
  if (change !== undefined) checkOrder(change, order, mergeKey);
  let merged: readonly unknown[] = current ?? [];
  if (current === undefined) merged = withoutDirectives(change) as unknown[];
  else if (change !== undefined) merged = mergeListField([...current], change, field, false);
  const kind = elementKind(current ?? [], change ?? []);
  original[name] = inOrder(merged, order, current ?? [], kind === "map" ? mergeKey : undefined);
  delete patch[name];
}

/** Items of the patch must stand in the same order as in the directive, and all of them in it. */
function checkOrder(change: readonly unknown[], order: readonly unknown[], mergeKey: string | undefined): void {
  if (order.length === 0) return;
  const kept = change.filter((item) => !(isJsonObject(item) && hasKey(item, PATCH)));
  let at = 0;
  for (const wanted of order) {
    if (at < kept.length && identityOf(kept[at], mergeKey) === identityOf(wanted, mergeKey)) at++;
  }
  if (at < kept.length) {
    throw malformed(
      `The order in patch list:\n${showGo(change)}\n doesn't match ${SET_ORDER} list:\n${showGo(order)}\n`,
    );
  }
}

/** By what an item is recognised: a scalar by itself, a map by its merge key. Throws when it has none. */
function identityOf(item: unknown, mergeKey: string | undefined): unknown {
  if (mergeKey === undefined) return comparable(item);
  if (!isJsonObject(item)) throw expected({}, item);
  if (!hasKey(item, mergeKey)) throw noMergeKey(item, mergeKey);
  return comparable(item[mergeKey]);
}

function comparable(value: unknown): unknown {
  return typeof value === "object" && value !== null ? stringifyJson(value) : value;
}

/** What both lists are made of. Throws for a mixture, and for lists of lists. */
function elementKind(...lists: readonly (readonly unknown[])[]): "map" | "scalar" {
  const types = new Set(lists.flat(1).map((item) => goTypeOf(item).replace("float64", "int64")));
  if (types.has("[]interface {}")) throw new PatchError("unappliable", "lists of lists are not supported");
  if (types.size > 1) throw malformed(`list element types are not identical: ${showGo(lists)}`);
  return types.has("map[string]interface {}") ? "map" : "scalar";
}

function mergeList(original: unknown[], patch: unknown[], field: Field | undefined, isDeletion: boolean): unknown[] {
  if (original.length + patch.length === 0) return original;
  if (elementKind(original, patch) === "scalar") {
    if (isDeletion) return original.filter((item) => !patch.includes(item));
    return inOrder([...new Set([...original, ...patch])], patch, original, undefined);
  }
  const mergeKey = field?.patchMergeKey;
  if (mergeKey === undefined || field === undefined) {
    throw malformed("cannot merge lists without merge key for struct");
  }
  const changes = patch as JsonObject[];
  const kept = withSpecialItems(original as JsonObject[], changes, mergeKey);
  const plain = changes.filter((item) => !hasKey(item, PATCH));
  if (changes.some((item) => item[PATCH] === "replace")) return inOrder(plain, plain, plain, mergeKey);
  const itemType = field.type.kind === "list" ? field.type.items : undefined;
  return inOrder(mergeItems(kept, plain, mergeKey, lookupIn(itemType)), plain, kept, mergeKey);
}

/** The original without the items that the patch deletes. */
function withSpecialItems(original: readonly JsonObject[], patch: readonly JsonObject[], key: string): JsonObject[] {
  const deleted = new Set<unknown>();
  for (const item of patch) {
    const directive = item[PATCH];
    if (directive === undefined || directive === "replace") continue;
    if (directive === "merge") throw malformed("merging lists cannot yet be specified in the patch");
    if (directive !== "delete") throw malformed(`unknown patch type: ${showGo(directive)} in map: ${showGo(item)}`);
    deleted.add(identityOf(item, key));
  }
  return original.filter((item) => !hasKey(item, key) || !deleted.has(comparable(item[key])));
}

function mergeItems(
  original: readonly JsonObject[],
  patch: readonly JsonObject[],
  key: string,
  lookup: FieldLookup,
): JsonObject[] {
  const merged = [...original];
  const positions = new Map<unknown, number>();
  for (const [i, item] of merged.entries()) {
    const identity = comparable(item[key]);
    if (hasKey(item, key) && !positions.has(identity)) positions.set(identity, i);
  }
  for (const item of patch) {
    const identity = identityOf(item, key);
    const at = positions.get(identity);
    const old = at === undefined ? undefined : merged[at];
    if (at !== undefined && old !== undefined) merged[at] = mergeMap(old, item, lookup);
    else positions.set(identity, merged.push(withoutDirectives(item) as JsonObject) - 1);
  }
  return merged;
}

/**
 * Items that `order` names stand in its order; the others, known to the server only, keep theirs, and each comes before the
 * first ordered item that it preceded on the server. So a new item without a $setElementOrder comes first.
 */
function inOrder(
  merged: readonly unknown[],
  order: readonly unknown[],
  server: readonly unknown[],
  mergeKey: string | undefined,
): unknown[] {
  const rank = ranksOf(order, mergeKey);
  const serverRank = ranksOf(server, mergeKey);
  const rankOf = (ranks: ReadonlyMap<unknown, number>, item: unknown) => ranks.get(identityOf(item, mergeKey)) ?? -1;
  const by = (ranks: ReadonlyMap<unknown, number>) => (a: unknown, b: unknown) => rankOf(ranks, a) - rankOf(ranks, b);
  const ordered = merged.filter((item) => rankOf(rank, item) >= 0).sort(by(rank));
  const others = merged.filter((item) => rankOf(rank, item) < 0).sort(by(serverRank));
  const result: unknown[] = [];
  let next = 0;
  for (const item of ordered) {
    const place = rankOf(serverRank, item);
    while (next < others.length && place >= 0) {
      const before = rankOf(serverRank, others[next]);
      if (before < 0 || before >= place) break;
      result.push(others[next++]);
    }
    result.push(item);
  }
  return [...result, ...others.slice(next)];
}

function ranksOf(items: readonly unknown[], mergeKey: string | undefined): Map<unknown, number> {
  const ranks = new Map<unknown, number>();
  for (const [i, item] of items.entries()) {
    const identity = identityOf(item, mergeKey);
    if (!ranks.has(identity)) ranks.set(identity, i);
  }
  return ranks;
}
