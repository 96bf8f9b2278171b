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
 */
import { PatchError } from "./patch-error.ts";
import {
  type FieldSchema,
  hasKey,
  isJsonObject,
  type JsonObject,
  jsonEquals,
  type StructSchema,
  setKey,
  type TypeSchema,
} from "./schema.ts";

const PATCH = "$patch";
const RETAIN_KEYS = "$retainKeys";
const DELETE_FROM = "$deleteFromPrimitiveList/";
const SET_ORDER = "$setElementOrder/";

/** The patched object; neither argument is changed. Throws PatchError. */
export function applyStrategicMergePatch(original: JsonObject, patch: JsonObject, schema: StructSchema): JsonObject {
  return mergeMap(structuredClone(original), structuredClone(patch), (key) => schema.fields.get(key));
}

type FieldLookup = (key: string) => FieldSchema | undefined;

/** Fields of what lies under `type`; none for maps and scalars. */
function lookupIn(type: TypeSchema | undefined): FieldLookup {
  return type?.kind === "struct" ? (key) => type.struct.fields.get(key) : () => undefined;
}

function mergeMap(original: JsonObject, patch: JsonObject, lookup: FieldLookup): JsonObject {
  const directive = patch[PATCH];
  if (directive !== undefined) {
    if (directive === "replace") {
      const { [PATCH]: _directive, ...rest } = patch;
      return rest;
    }
    if (directive === "delete") return {};
    if (directive !== "merge") throw new PatchError("malformed", `Unknown patch type found: ${String(directive)}`);
    delete patch[PATCH];
  }
  retainKeys(original, patch);
  const orders = new Map<string, unknown[]>();
  for (const [key, value] of Object.entries(patch)) {
    if (key.startsWith(SET_ORDER)) orders.set(key.slice(SET_ORDER.length), listOf(value, key));
    else if (key.startsWith(DELETE_FROM)) deleteValues(original, key.slice(DELETE_FROM.length), listOf(value, key));
  }
  for (const [key, value] of Object.entries(patch)) {
    if (key.startsWith(SET_ORDER) || key.startsWith(DELETE_FROM)) continue;
    mergeField(original, key, value, lookup(key), orders.get(key));
    orders.delete(key);
  }
  for (const [key, order] of orders) {
    const current = original[key];
    if (Array.isArray(current)) original[key] = inOrder(current, current, order, lookup(key)?.patchMergeKey, []);
  }
  return original;
}

function mergeField(
  original: JsonObject,
  key: string,
  value: unknown,
  field: FieldSchema | undefined,
  order: unknown[] | undefined,
): void {
  if (value === null) {
    delete original[key];
    return;
  }
  const current = hasKey(original, key) ? original[key] : undefined;
  const strategies = field?.patchStrategy?.split(",") ?? [];
  if (isJsonObject(value) && isJsonObject(current) && !strategies.includes("replace")) {
    setKey(original, key, mergeMap(current, value, lookupIn(valueType(field))));
  } else if (Array.isArray(value) && Array.isArray(current) && strategies.includes("merge")) {
    const merged = mergeList(current, value, field, key);
    original[key] = order === undefined ? merged : inOrder(merged, current, order, field?.patchMergeKey, value);
  } else setKey(original, key, withoutDirectives(value, strategies.includes("merge")));
}

/** The type below a field: of a map its values' lookup has no fields, of a struct its own. */
function valueType(field: FieldSchema | undefined): TypeSchema | undefined {
  return field?.type;
}

function listOf(value: unknown, key: string): unknown[] {
  if (!Array.isArray(value)) throw new PatchError("malformed", `${key} must be a list`);
  return value;
}

function retainKeys(original: JsonObject, patch: JsonObject): void {
  const keys = patch[RETAIN_KEYS];
  if (keys === undefined) return;
  delete patch[RETAIN_KEYS];
  const retained = new Set(listOf(keys, RETAIN_KEYS));
  for (const key of Object.keys(patch)) {
    if (!key.startsWith("$") && patch[key] !== null && !retained.has(key)) {
      throw new PatchError(
        "malformed",
        `${RETAIN_KEYS} does not have the key ${JSON.stringify(key)} that the patch sets`,
      );
    }
  }
  for (const key of Object.keys(original)) if (!retained.has(key)) delete original[key];
}

function deleteValues(original: JsonObject, key: string, values: readonly unknown[]): void {
  const current = original[key];
  if (Array.isArray(current)) original[key] = current.filter((item) => !values.some((v) => jsonEquals(v, item)));
}

function mergeList(original: unknown[], patch: unknown[], field: FieldSchema | undefined, name: string): unknown[] {
  const mergeKey = field?.patchMergeKey;
  const items = [...original, ...patch];
  if (items.every((item) => !isJsonObject(item))) {
    return items.filter((item, i) => items.findIndex((other) => jsonEquals(other, item)) === i);
  }
  if (mergeKey === undefined) throw new PatchError("malformed", `cannot merge lists without merge key for ${name}`);
  const itemType = field?.type.kind === "list" ? field.type.items : undefined;
  if (patch.some((item) => isJsonObject(item) && item[PATCH] === "replace")) {
    return patch
      .filter((item) => !(isJsonObject(item) && item[PATCH] !== undefined))
      .map((i) => withoutDirectives(i, true));
  }
  let merged = original;
  for (const item of patch) {
    if (!isJsonObject(item)) throw new PatchError("malformed", `the items of ${name} must be objects`);
    const value = item[mergeKey];
    if (value === undefined) {
      throw new PatchError(
        "malformed",
        `map: ${JSON.stringify(item)} does not contain declared merge key: ${mergeKey}`,
      );
    }
    const matches = (other: unknown) => isJsonObject(other) && jsonEquals(other[mergeKey], value);
    if (item[PATCH] === "delete") {
      merged = merged.filter((other) => !matches(other));
      continue;
    }
    const index = merged.findIndex(matches);
    if (index < 0) merged = [...merged, withoutDirectives(item, true)];
    else merged = merged.with(index, mergeMap(merged[index] as JsonObject, item, lookupIn(itemType)));
  }
  return merged;
}

/** What is taken over as it is must not carry directives or nulls into the object. */
function withoutDirectives(value: unknown, keyedList: boolean): unknown {
  if (Array.isArray(value)) {
    return value
      .filter((item) => !(keyedList && isJsonObject(item) && item[PATCH] === "delete"))
      .map((item) => withoutDirectives(item, true));
  }
  if (!isJsonObject(value)) return value;
  if (value[PATCH] === "delete") return {};
  const result: JsonObject = {};
  for (const [key, inner] of Object.entries(value)) {
    if (inner === null || key === PATCH || key === RETAIN_KEYS) continue;
    if (key.startsWith(SET_ORDER) || key.startsWith(DELETE_FROM)) continue;
    setKey(result, key, withoutDirectives(inner, true));
  }
  return result;
}

/**
 * Items named by `order` stand in that order; the others, known to the server only, keep their order among themselves
 * and come before an ordered item that they preceded on the server.
 */
function inOrder(
  merged: readonly unknown[],
  server: readonly unknown[],
  order: readonly unknown[],
  mergeKey: string | undefined,
  patch: readonly unknown[],
): unknown[] {
  const identity = (item: unknown) =>
    JSON.stringify(mergeKey !== undefined && isJsonObject(item) ? item[mergeKey] : item);
  const wanted = order.map(identity);
  checkOrder(wanted, patch, identity);
  const positions = new Map(server.map((item, i) => [identity(item), i]));
  const ordered = merged
    .filter((item) => wanted.includes(identity(item)))
    .sort((a, b) => wanted.indexOf(identity(a)) - wanted.indexOf(identity(b)));
  const serverOnly = merged.filter((item) => !wanted.includes(identity(item)));
  const result: unknown[] = [];
  let left = 0;
  let right = 0;
  while (left < serverOnly.length || right < ordered.length) {
    const a = left < serverOnly.length ? positions.get(identity(serverOnly[left])) : undefined;
    const b = right < ordered.length ? positions.get(identity(ordered[right])) : undefined;
    const takeLeft =
      right >= ordered.length || (left < serverOnly.length && a !== undefined && b !== undefined && a < b);
    result.push(takeLeft ? serverOnly[left++] : ordered[right++]);
  }
  return result;
}

function checkOrder(wanted: readonly string[], patch: readonly unknown[], identity: (item: unknown) => string): void {
  for (const item of patch) {
    if (isJsonObject(item) && item[PATCH] !== undefined) continue;
    if (!wanted.includes(identity(item))) {
      const complaint = `The order in patch list:\n${JSON.stringify(item)}\n doesn't match ${SET_ORDER} list:\n[${wanted.join(",")}]`;
      throw new PatchError("malformed", complaint);
    }
  }
}
