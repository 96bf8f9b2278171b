/**
 * The patch that client-side apply sends: what the manifest sets that the live object hasn't, and the removal of what
 * the last applied manifest set and this one doesn't. Built as a strategic merge patch by the kind's merge keys, or as a
 * JSON merge patch where the kind is unknown. Source: kubernetes.io/docs/tasks/manage-kubernetes-objects/declarative-config
 */
import {
  type FieldSchema,
  isJsonObject,
  type JsonObject,
  jsonEquals,
  type StructSchema,
  type TypeSchema,
} from "@knarr/apimachinery/schema.ts";

/** Empty when nothing has to change. */
export function threeWayMergePatch(
  last: JsonObject | undefined,
  wanted: JsonObject,
  live: JsonObject,
  schema: StructSchema | undefined,
): JsonObject {
  return mergeObjects(last ?? {}, wanted, live, schema) ?? {};
}

function mergeObjects(
  last: JsonObject,
  wanted: JsonObject,
  live: JsonObject,
  schema: StructSchema | undefined,
): JsonObject | undefined {
  const patch: JsonObject = {};
  for (const [key, value] of Object.entries(wanted)) {
    const field = schema?.fields.get(key);
    const change = mergeValues(last[key], value, live[key], field);
    if (change === undefined) continue;
    patch[key] = change.value;
    if (change.order !== undefined) patch[`$setElementOrder/${key}`] = change.order;
    if (change.deletions !== undefined) patch[`$deleteFromPrimitiveList/${key}`] = change.deletions;
  }
  for (const key of Object.keys(last)) {
    if (!(key in wanted) && key in live) patch[key] = null;
  }
  return Object.keys(patch).length === 0 ? undefined : patch;
}

interface Change {
  readonly value: unknown;
  readonly order?: readonly unknown[];
  readonly deletions?: readonly unknown[];
}

function mergeValues(
  last: unknown,
  wanted: unknown,
  live: unknown,
  field: FieldSchema | undefined,
): Change | undefined {
  if (wanted === null) return live === undefined || live === null ? undefined : { value: null };
  if (isJsonObject(wanted) && isJsonObject(live)) {
    const inner = structOf(field?.type);
    const patch = mergeObjects(isJsonObject(last) ? last : {}, wanted, live, inner);
    return patch === undefined ? undefined : { value: retaining(patch, wanted, field) };
  }
  if (Array.isArray(wanted) && Array.isArray(live) && field?.patchStrategy?.includes("merge") === true) {
    return mergeLists(Array.isArray(last) ? last : [], wanted, live, field);
  }
  return jsonEquals(wanted, live) ? undefined : { value: wanted };
}

/** Of fields that exclude each other (a volume's sources) only those that the manifest has may stay. */
function retaining(patch: JsonObject, wanted: JsonObject, field: FieldSchema | undefined): JsonObject {
  if (field?.patchStrategy?.includes("retainKeys") !== true) return patch;
  return { ...patch, $retainKeys: Object.keys(wanted).sort() };
}

function mergeLists(
  last: readonly unknown[],
  wanted: readonly unknown[],
  live: readonly unknown[],
  field: FieldSchema,
): Change | undefined {
  const key = field.patchMergeKey;
  if (key === undefined) {
    const added = wanted.filter((item) => !live.some((other) => jsonEquals(item, other)));
    const gone = last.filter(
      (item) => !wanted.some((w) => jsonEquals(w, item)) && live.some((l) => jsonEquals(l, item)),
    );
    if (added.length === 0 && gone.length === 0) return undefined;
    return { value: added, order: wanted, ...(gone.length === 0 ? {} : { deletions: gone }) };
  }
  const schema = structOf(field.type);
  const byKey = (items: readonly unknown[], value: unknown) =>
    items.find((item): item is JsonObject => isJsonObject(item) && jsonEquals(item[key], value));
  const changes: JsonObject[] = [];
  for (const item of wanted.filter(isJsonObject)) {
    const old = byKey(live, item[key]);
    if (old === undefined) {
      changes.push(item);
      continue;
    }
    const patch = mergeObjects(byKey(last, item[key]) ?? {}, item, old, schema);
    if (patch !== undefined) changes.push({ ...retaining(patch, item, field), [key]: item[key] });
  }
  for (const item of last.filter(isJsonObject)) {
    if (byKey(wanted, item[key]) === undefined && byKey(live, item[key]) !== undefined) {
      changes.push({ $patch: "delete", [key]: item[key] });
    }
  }
  const order = wanted.filter(isJsonObject).map((item) => ({ [key]: item[key] }));
  const liveOrder = live.filter(isJsonObject).map((item) => item[key]);
  const kept = order.map((item) => item[key]).filter((value) => liveOrder.some((l) => jsonEquals(l, value)));
  const moved = !jsonEquals(
    liveOrder.filter((value) => kept.some((k) => jsonEquals(k, value))),
    kept,
  );
  return changes.length === 0 && !moved ? undefined : { value: changes, order };
}

function structOf(type: TypeSchema | undefined): StructSchema | undefined {
  if (type === undefined) return undefined;
  if (type.kind === "struct") return type.struct;
  return type.kind === "list" ? structOf(type.items) : undefined;
}
