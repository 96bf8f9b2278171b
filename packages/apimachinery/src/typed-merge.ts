/**
 * Objects seen through their schema: which paths a value sets, what differs between two values, how an applied
 * configuration merges into a live object, and how paths are taken out of one.
 * Source: k8s.io structured-merge-diff, typed; KEP-555
 */
import { EMPTY_SET, type FieldSet, formatPath, isEmptySet, LEAF } from "./field-set.ts";
import { stringifyCanonical } from "./json.ts";
import {
  type FieldSchema,
  hasKey,
  isJsonObject,
  type JsonObject,
  jsonEquals,
  setKey,
  type TypeSchema,
} from "./schema.ts";

/** How a value is owned: as a whole, field by field, or item by item. */
type Shape =
  | { readonly kind: "leaf" }
  | { readonly kind: "fields"; readonly child: (key: string) => Slot }
  | { readonly kind: "set" }
  | { readonly kind: "keyed"; readonly keys: readonly string[]; readonly items: TypeSchema };

/** A type in its place: the field that holds it says how lists and maps are owned. */
export interface Slot {
  readonly type: TypeSchema | undefined;
  readonly field: FieldSchema | undefined;
}

const UNTYPED: Slot = { type: undefined, field: undefined };
const LEAF_SHAPE: Shape = { kind: "leaf" };
const SET_SHAPE: Shape = { kind: "set" };
/** Values that no table describes are owned field by field, lists as a whole. */
const UNTYPED_SHAPE: Shape = { kind: "fields", child: () => UNTYPED };

function shapeOf({ type, field }: Slot, value: unknown): Shape {
  switch (type?.kind) {
    case undefined:
    case "raw":
    case "any":
    case "fieldsV1":
      return isJsonObject(value) ? UNTYPED_SHAPE : LEAF_SHAPE;
    case "struct": {
      if (field?.mapType === "atomic" || type.struct.atomic || !isJsonObject(value)) return LEAF_SHAPE;
      const { fields } = type.struct;
      return { kind: "fields", child: (key) => slotOfField(fields.get(key)) };
    }
    case "map": {
      if (field?.mapType === "atomic" || !isJsonObject(value)) return LEAF_SHAPE;
      const slot: Slot = { type: type.values, field: undefined };
      return { kind: "fields", child: () => slot };
    }
    case "list":
      if (!Array.isArray(value)) return LEAF_SHAPE;
      if (field?.listType === "set") return SET_SHAPE;
      if (field?.listType !== "map" || field.listMapKeys === undefined) return LEAF_SHAPE;
      return { kind: "keyed", keys: field.listMapKeys, items: type.items };
    default:
      return LEAF_SHAPE;
  }
}

function slotOfField(field: FieldSchema | undefined): Slot {
  return field === undefined ? UNTYPED : { type: field.type, field };
}

/** Whether a key is a field of a struct; keys of maps are owned by themselves even when something below them is. */
function isNamedField({ type }: Slot, key: string): boolean {
  return type?.kind === "struct" && type.struct.fields.has(key);
}

/** The slot behind a path element, by type alone. */
function slotAt({ type }: Slot, element: string): Slot {
  if (type?.kind === "struct") return slotOfField(type.struct.fields.get(element.slice(2)));
  if (type?.kind === "map") return { type: type.values, field: undefined };
  return type?.kind === "list" ? { type: type.items, field: undefined } : UNTYPED;
}

/** `k:{"containerPort":80,"protocol":"TCP"}`: keys sorted, absent keys taken from their defaults. */
function keyElement(item: unknown, keys: readonly string[], items: TypeSchema): string {
  const fields = items.kind === "struct" ? items.struct.fields : undefined;
  const key: JsonObject = {};
  for (const name of keys) {
    const value = isJsonObject(item) ? (item[name] ?? fields?.get(name)?.default) : undefined;
    if (value !== undefined && value !== null) key[name] = value;
  }
  return `k:${stringifyCanonical(key)}`;
}

const valueElement = (item: unknown) => `v:${stringifyCanonical(item)}`;

interface Child {
  readonly element: string;
  readonly value: unknown;
  readonly slot: Slot;
  /** Every item, where several have the same keys: such a live list has no better owner than the first. */
  readonly repeated?: unknown[];
}

interface Parts {
  readonly shape: Shape;
  readonly children: ReadonlyMap<string, Child>;
}

/** The parts of a value that are owned by themselves, or undefined for a leaf. */
function partsOf(slot: Slot, value: unknown): Parts | undefined {
  const shape = shapeOf(slot, value);
  if (shape.kind === "leaf") return undefined;
  const children = new Map<string, Child>();
  if (shape.kind === "fields") {
    const object = value as JsonObject;
    for (const key of Object.keys(object)) {
      const inner = object[key];
      const element = `f:${key}`;
      if (inner !== undefined) children.set(element, { element, value: inner, slot: shape.child(key) });
    }
    return { shape, children };
  }
  const itemSlot: Slot = shape.kind === "set" ? UNTYPED : { type: shape.items, field: undefined };
  for (const item of value as unknown[]) {
    const element = shape.kind === "set" ? valueElement(item) : keyElement(item, shape.keys, shape.items);
    const known = children.get(element);
    const child: Child = { element, value: item, slot: itemSlot };
    if (known === undefined) children.set(element, child);
    else children.set(element, { ...known, repeated: [...(known.repeated ?? [known.value]), item] });
  }
  return { shape, children };
}

/**
 * What an applied configuration owns: its leaves, its empty maps, the keys of maps and the items that it names. An empty
 * list of items owns nothing, as upstream.
 */
export function fieldSetOf(slot: Slot, value: unknown): FieldSet {
  const parts = partsOf(slot, value);
  if (parts === undefined) return LEAF;
  const children = new Map<string, FieldSet>();
  for (const { element, value: inner, slot: innerSlot, repeated } of parts.children.values()) {
    const isLeaf = parts.shape.kind === "set" || repeated !== undefined;
    const below = isLeaf ? EMPTY_SET : fieldSetOf(innerSlot, inner);
    const isOwn = parts.shape.kind !== "fields" || !isNamedField(slot, element.slice(2)) || isEmptyMap(inner);
    const set: FieldSet = { member: below.member || isOwn, children: below.children };
    if (!isEmptySet(set)) children.set(element, set);
  }
  return { member: false, children };
}

function isEmptyMap(value: unknown): boolean {
  return isJsonObject(value) && Object.keys(value).length === 0;
}

/** The set with every named field that something in it lies below. Source: Set.EnsureNamedFieldsAreMembers */
export function withNamedFields(slot: Slot, set: FieldSet): FieldSet {
  if (set.children.size === 0) return set;
  const children = new Map<string, FieldSet>();
  for (const [element, child] of set.children) {
    const isNamed = element.startsWith("f:") && isNamedField(slot, element.slice(2));
    const below = withNamedFields(slotAt(slot, element), child);
    children.set(element, { member: child.member || isNamed, children: below.children });
  }
  return { member: set.member, children };
}

export interface Comparison {
  /** Paths of `after` that `before` has not, containers among them. */
  readonly added: FieldSet;
  readonly modified: FieldSet;
  /** Paths of `before` that `after` has not, containers among them. */
  readonly removed: FieldSet;
}
const SAME: Comparison = { added: EMPTY_SET, modified: EMPTY_SET, removed: EMPTY_SET };

/** Everything below and including a value that only one side has. */
function wholeSet(parts: Parts | undefined): FieldSet {
  if (parts === undefined) return LEAF;
  const children = new Map<string, FieldSet>();
  for (const child of parts.children.values()) children.set(child.element, wholeChild(parts.shape, child));
  return { member: true, children };
}

function wholeChild(shape: Shape, { slot, value, repeated }: Child): FieldSet {
  return shape.kind === "set" || repeated !== undefined ? LEAF : wholeSet(partsOf(slot, value));
}

export function compareValues(slot: Slot, before: unknown, after: unknown): Comparison {
  if (jsonEquals(before, after)) return SAME;
  const old = partsOf(slot, before);
  const now = partsOf(slot, after);
  if (old === undefined || now === undefined) return { ...SAME, modified: LEAF };
  const result = { added: new Map<string, FieldSet>(), modified: new Map(), removed: new Map<string, FieldSet>() };
  const put = (into: Map<string, FieldSet>, element: string, set: FieldSet) => {
    if (!isEmptySet(set)) into.set(element, set);
  };
  for (const child of now.children.values()) {
    const other = old.children.get(child.element);
    const inner = other === undefined ? undefined : compareChildren(other, child);
    put(result.added, child.element, inner?.added ?? wholeChild(now.shape, child));
    put(result.modified, child.element, inner?.modified ?? EMPTY_SET);
    put(result.removed, child.element, inner?.removed ?? EMPTY_SET);
  }
  for (const child of old.children.values()) {
    if (!now.children.has(child.element)) put(result.removed, child.element, wholeChild(old.shape, child));
  }
  const node = (children: Map<string, FieldSet>): FieldSet => ({ member: false, children });
  return { added: node(result.added), modified: node(result.modified), removed: node(result.removed) };
}

function compareChildren(old: Child, now: Child): Comparison {
  if (old.repeated === undefined && now.repeated === undefined) return compareValues(now.slot, old.value, now.value);
  // Items with the same keys are one thing, which comes, goes and changes as a whole.
  if (old.repeated !== undefined && now.repeated !== undefined) {
    return jsonEquals(old.repeated, now.repeated) ? SAME : { ...SAME, modified: LEAF };
  }
  if (old.repeated !== undefined) return { ...SAME, added: wholeSet(partsOf(now.slot, now.value)), removed: LEAF };
  return { ...SAME, added: LEAF, removed: wholeSet(partsOf(old.slot, old.value)) };
}

/** `live` with everything that `applied` sets. Neither is changed; parts of both may be shared with the result. */
export function mergeApplied(slot: Slot, live: unknown, applied: unknown): unknown {
  const shape = shapeOf(slot, applied);
  switch (shape.kind) {
    case "leaf":
      return applied;
    case "fields": {
      const result: JsonObject = isJsonObject(live) ? { ...live } : {};
      for (const [key, value] of Object.entries(applied as JsonObject)) {
        setKey(result, key, mergeApplied(shape.child(key), hasKey(result, key) ? result[key] : undefined, value));
      }
      return result;
    }
    case "set":
      return interleave(Array.isArray(live) ? live : [], applied as unknown[], valueElement, (_old, item) => item);
    case "keyed": {
      const items: Slot = { type: shape.items, field: undefined };
      const identity = (item: unknown) => keyElement(item, shape.keys, shape.items);
      return interleave(Array.isArray(live) ? live : [], applied as unknown[], identity, (old, item) =>
        mergeApplied(items, old, item),
      );
    }
    default:
      return shape satisfies never;
  }
}

/**
 * Applied items in their order, each merged with its live one; the other live items keep theirs and stand as early as
 * that order lets them. Source: typed/merge.go, visitListItems
 */
function interleave(
  live: readonly unknown[],
  applied: readonly unknown[],
  identity: (item: unknown) => string,
  merge: (old: unknown, item: unknown) => unknown,
): unknown[] {
  const liveIds = live.map(identity);
  const appliedIds = applied.map(identity);
  const known = new Map<string, unknown>();
  for (const [i, id] of liveIds.entries()) if (!known.has(id)) known.set(id, live[i]);
  const wanted = new Set(appliedIds);
  const shared = appliedIds.filter((id) => known.has(id));
  const done = new Set<string>();
  const result: unknown[] = [];
  let left = 0;
  let right = 0;
  let next = 0;
  const takeApplied = (id: string) => {
    result.push(known.has(id) ? merge(known.get(id), applied[right]) : applied[right]);
    done.add(id);
    right++;
    if (shared[next] === id) next++;
  };
  while (left < live.length || right < applied.length) {
    const liveId = liveIds[left];
    const appliedId = appliedIds[right];
    if (liveId === undefined || liveId === appliedId) {
      takeApplied(appliedId ?? "");
      if (liveId !== undefined) left++;
    } else if (!wanted.has(liveId)) result.push(live[left++]);
    // An applied item whose turn it is not, or that was taken already, is passed by.
    else if (appliedId === undefined || done.has(liveId) || (next < shared.length && shared[next] !== liveId)) left++;
    else takeApplied(appliedId);
  }
  return result;
}

/** `value` without the members of `set`; undefined when nothing is left of it. */
export function removePaths(slot: Slot, value: unknown, set: FieldSet): unknown {
  if (set.children.size === 0) return value;
  const shape = shapeOf(slot, value);
  switch (shape.kind) {
    case "leaf":
      return value;
    case "fields":
      return removeFields(shape.child, value as JsonObject, set);
    case "set":
      return orNothing((value as unknown[]).filter((item) => !set.children.get(valueElement(item))?.member));
    case "keyed": {
      const items: Slot = { type: shape.items, field: undefined };
      return orNothing(
        (value as unknown[]).flatMap((item) => {
          const child = set.children.get(keyElement(item, shape.keys, shape.items));
          if (child === undefined) return [item];
          const rest = child.member ? undefined : removePaths(items, item, child);
          return rest === undefined ? [] : [rest];
        }),
      );
    }
    default:
      return shape satisfies never;
  }
}

function orNothing(items: unknown[]): unknown {
  return items.length === 0 ? undefined : items;
}

function removeFields(childSlot: (key: string) => Slot, value: JsonObject, set: FieldSet): unknown {
  const result: JsonObject = {};
  let isTouched = false;
  for (const [key, inner] of Object.entries(value)) {
    const child = set.children.get(`f:${key}`);
    if (child?.member) continue;
    const rest = child === undefined ? inner : removePaths(childSlot(key), inner, child);
    // What lost all its parts is gone; its parent stays, even when it is empty now. As upstream, where it is null.
    isTouched = true;
    if (rest !== undefined) setKey(result, key, rest);
  }
  return isTouched ? result : undefined;
}

/**
 * Why a configuration can't be applied: list items without any of their keys, several with the same. Each text begins
 * with its path. Source: typed/validate.go, typed/helpers.go
 */
export function configurationErrors(slot: Slot, value: unknown, path = ""): string[] {
  const shape = shapeOf(slot, value);
  if (shape.kind === "leaf") return [];
  if (shape.kind === "fields") {
    return Object.entries(value as JsonObject).flatMap(([key, inner]) =>
      configurationErrors(shape.child(key), inner, `${path}.${key}`),
    );
  }
  const seen = new Set<string>();
  return (value as unknown[]).flatMap((item, i) => {
    const element = shape.kind === "set" ? valueElement(item) : keyElement(item, shape.keys, shape.items);
    if (shape.kind === "keyed" && element === "k:{}") {
      const keys = shape.keys.map((key) => JSON.stringify(key)).join(" ");
      const why = `associative list with keys has an element that omits all key fields [${keys}]`;
      return [`${path}: element ${i}: ${why} (and doesn't have default values for any key fields)`];
    }
    const shown = formatPath([element]);
    if (seen.has(element)) return [`${path}: duplicate entries for key ${shown}`];
    seen.add(element);
    if (shape.kind === "set") return [];
    return configurationErrors({ type: shape.items, field: undefined }, item, `${path}${shown}`);
  });
}
