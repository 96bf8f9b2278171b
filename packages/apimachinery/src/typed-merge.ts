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
  type StructSchema,
  setKey,
  type TypeSchema,
} from "./schema.ts";

/** How a value is owned: as a whole, field by field, or item by item. */
type Shape =
  | { readonly kind: "leaf" }
  | { readonly kind: "fields"; readonly child: (key: string) => NamedSlot }
  | { readonly kind: "set" }
  | { readonly kind: "keyed"; readonly keys: readonly string[]; readonly items: Slot };

/**
 * A type in its place: the field that holds it says how lists and maps are owned. Made once for each field of a struct: every write of
 * every object looks at all of them.
 */
export class Slot {
  readonly type: TypeSchema | undefined;
  #field: FieldSchema | undefined;
  #shape: Shape | undefined;

  constructor(type: TypeSchema | undefined, field?: FieldSchema) {
    this.type = type;
    this.#field = field;
  }

  /** Of values that have the JSON type that `type` asks for; others are leaves. */
  get shape(): Shape {
    this.#shape ??= shapeOfType(this.type, this.#field);
    return this.#shape;
  }
}

/** A part of a struct or map with its path element. */
interface NamedSlot {
  readonly element: string;
  readonly slot: Slot;
}

const UNTYPED = new Slot(undefined);
const LEAF_SHAPE: Shape = { kind: "leaf" };
const SET_SHAPE: Shape = { kind: "set" };

function shapeOfType(type: TypeSchema | undefined, field: FieldSchema | undefined): Shape {
  switch (type?.kind) {
    // Values that no table describes are owned field by field, lists as a whole.
    case undefined:
    case "raw":
    case "any":
    case "fieldsV1":
      return { kind: "fields", child: (key) => ({ element: `f:${key}`, slot: UNTYPED }) };
    case "struct": {
      if (field?.mapType === "atomic" || type.struct.atomic) return LEAF_SHAPE;
      const { struct } = type;
      return { kind: "fields", child: (key) => fieldOf(struct, key) };
    }
    case "map": {
      if (field?.mapType === "atomic") return LEAF_SHAPE;
      const slot = new Slot(type.values);
      return { kind: "fields", child: (key) => ({ element: `f:${key}`, slot }) };
    }
    case "list":
      if (field?.listType === "set") return SET_SHAPE;
      if (field?.listType !== "map" || field.listMapKeys === undefined) return LEAF_SHAPE;
      return { kind: "keyed", keys: field.listMapKeys, items: new Slot(type.items) };
    default:
      return LEAF_SHAPE;
  }
}

function shapeOf({ shape }: Slot, value: unknown): Shape {
  if (shape.kind === "leaf") return shape;
  const fits = shape.kind === "fields" ? isJsonObject(value) : Array.isArray(value);
  return fits ? shape : LEAF_SHAPE;
}

const namedFields = new WeakMap<StructSchema, Map<string, NamedSlot>>();

function fieldOf(struct: StructSchema, key: string): NamedSlot {
  let known = namedFields.get(struct);
  if (known === undefined) {
    known = new Map();
    namedFields.set(struct, known);
  }
  const named = known.get(key);
  if (named !== undefined) return named;
  const field = struct.fields.get(key);
  // Names that clients make up are not kept.
  if (field === undefined) return { element: `f:${key}`, slot: UNTYPED };
  const made = { element: `f:${key}`, slot: new Slot(field.type, field) };
  known.set(key, made);
  return made;
}

/** Whether a key is a field of a struct; keys of maps are owned by themselves even when something below them is. */
function isNamedField({ type }: Slot, key: string): boolean {
  return type?.kind === "struct" && type.struct.fields.has(key);
}

/** The slot behind a path element, by type alone. */
function slotAt({ type }: Slot, element: string): Slot {
  if (type?.kind === "struct") return fieldOf(type.struct, element.slice(2)).slot;
  if (type?.kind === "map") return new Slot(type.values);
  return type?.kind === "list" ? new Slot(type.items) : UNTYPED;
}

/** `k:{"containerPort":80,"protocol":"TCP"}`: keys sorted, absent keys taken from their defaults. */
function keyElement(item: unknown, keys: readonly string[], { type }: Slot): string {
  const fields = type?.kind === "struct" ? type.struct.fields : undefined;
  const key: JsonObject = {};
  for (const name of keys) {
    const value = isJsonObject(item) ? (item[name] ?? fields?.get(name)?.default) : undefined;
    if (value !== undefined && value !== null) key[name] = value;
  }
  return `k:${stringifyCanonical(key)}`;
}

const valueElement = (item: unknown) => `v:${stringifyCanonical(item)}`;

/** The path element of a list's item, or undefined where the list is owned as a whole and its items have indices only. */
export function itemElement(item: unknown, field: FieldSchema | undefined, items: TypeSchema): string | undefined {
  if (field?.listType === "set") return valueElement(item);
  if (field?.listType !== "map" || field.listMapKeys === undefined) return undefined;
  return keyElement(item, field.listMapKeys, new Slot(items));
}

interface Child {
  readonly element: string;
  readonly value: unknown;
  readonly slot: Slot;
  /** Every item, where several have the same keys: such a live list has no better owner than the first. */
  readonly repeated?: unknown[];
}

type ListShape = Extract<Shape, { kind: "set" | "keyed" }>;

/** The items of a list that are owned by themselves. */
function itemsOf(shape: ListShape, list: readonly unknown[]): ReadonlyMap<string, Child> {
  const children = new Map<string, Child>();
  const slot = shape.kind === "set" ? UNTYPED : shape.items;
  for (const item of list) {
    const element = shape.kind === "set" ? valueElement(item) : keyElement(item, shape.keys, shape.items);
    const known = children.get(element);
    const child: Child = { element, value: item, slot };
    if (known === undefined) children.set(element, child);
    else children.set(element, { ...known, repeated: [...(known.repeated ?? [known.value]), item] });
  }
  return children;
}

/**
 * What an applied configuration owns: its leaves, its empty maps, the keys of maps and the items that it names. An empty
 * list of items owns nothing, as upstream.
 */
export function fieldSetOf(slot: Slot, value: unknown): FieldSet {
  const shape = shapeOf(slot, value);
  if (shape.kind === "leaf") return LEAF;
  const children = new Map<string, FieldSet>();
  const put = (element: string, set: FieldSet) => {
    if (!isEmptySet(set)) children.set(element, set);
  };
  if (shape.kind === "fields") {
    const object = value as JsonObject;
    for (const key of Object.keys(object)) {
      const inner = object[key];
      if (inner === undefined) continue;
      const { element, slot: innerSlot } = shape.child(key);
      const below = fieldSetOf(innerSlot, inner);
      const isOwn = !isNamedField(slot, key) || isEmptyMap(inner);
      put(element, { member: below.member || isOwn, children: below.children });
    }
    return { member: false, children };
  }
  for (const { element, value: item, slot: itemSlot, repeated } of itemsOf(shape, value as unknown[]).values()) {
    const isLeaf = shape.kind === "set" || repeated !== undefined;
    put(element, { member: true, children: (isLeaf ? EMPTY_SET : fieldSetOf(itemSlot, item)).children });
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
function wholeSet(slot: Slot, value: unknown): FieldSet {
  const shape = shapeOf(slot, value);
  if (shape.kind === "leaf") return LEAF;
  const children = new Map<string, FieldSet>();
  if (shape.kind === "fields") {
    const object = value as JsonObject;
    for (const key of Object.keys(object)) {
      const inner = object[key];
      if (inner === undefined) continue;
      const child = shape.child(key);
      children.set(child.element, wholeSet(child.slot, inner));
    }
  } else {
    for (const child of itemsOf(shape, value as unknown[]).values()) {
      children.set(child.element, wholeItem(shape, child));
    }
  }
  return children.size === 0 ? LEAF : { member: true, children };
}

function wholeItem(shape: ListShape, { slot, value, repeated }: Child): FieldSet {
  return shape.kind === "set" || repeated !== undefined ? LEAF : wholeSet(slot, value);
}

/** What differs below a value, gathered part by part; nothing is made for what is the same. */
class Differences {
  #added: Map<string, FieldSet> | undefined;
  #modified: Map<string, FieldSet> | undefined;
  #removed: Map<string, FieldSet> | undefined;

  add(element: string, set: FieldSet): void {
    if (isEmptySet(set)) return;
    this.#added ??= new Map();
    this.#added.set(element, set);
  }

  remove(element: string, set: FieldSet): void {
    if (isEmptySet(set)) return;
    this.#removed ??= new Map();
    this.#removed.set(element, set);
  }

  /** Of a part that both sides have. */
  put(element: string, inner: Comparison): void {
    if (inner === SAME) return;
    this.add(element, inner.added);
    this.remove(element, inner.removed);
    if (isEmptySet(inner.modified)) return;
    this.#modified ??= new Map();
    this.#modified.set(element, inner.modified);
  }

  result(): Comparison {
    const [added, modified, removed] = [this.#added, this.#modified, this.#removed];
    if (added === undefined && modified === undefined && removed === undefined) return SAME;
    return { added: nodeOf(added), modified: nodeOf(modified), removed: nodeOf(removed) };
  }
}

function nodeOf(children: ReadonlyMap<string, FieldSet> | undefined): FieldSet {
  return children === undefined ? EMPTY_SET : { member: false, children };
}

export function compareValues(slot: Slot, before: unknown, after: unknown): Comparison {
  if (before === after) return SAME;
  const shape = shapeOf(slot, after);
  if (shape.kind === "fields" && isJsonObject(before)) return compareFields(shape.child, before, after as JsonObject);
  if (jsonEquals(before, after)) return SAME;
  if (shape.kind === "leaf" || shape.kind === "fields" || !Array.isArray(before)) return { ...SAME, modified: LEAF };
  return compareItems(shape, before, after as unknown[]);
}

function compareFields(child: (key: string) => NamedSlot, before: JsonObject, after: JsonObject): Comparison {
  const differences = new Differences();
  for (const key of Object.keys(after)) {
    const now = after[key];
    if (now === undefined) continue;
    const old = hasKey(before, key) ? before[key] : undefined;
    if (old === now) continue;
    const { element, slot } = child(key);
    if (old === undefined) differences.add(element, wholeSet(slot, now));
    else differences.put(element, compareValues(slot, old, now));
  }
  for (const key of Object.keys(before)) {
    const old = before[key];
    if (old === undefined || (hasKey(after, key) && after[key] !== undefined)) continue;
    const { element, slot } = child(key);
    differences.remove(element, wholeSet(slot, old));
  }
  return differences.result();
}

function compareItems(shape: ListShape, before: readonly unknown[], after: readonly unknown[]): Comparison {
  const differences = new Differences();
  const old = itemsOf(shape, before);
  const now = itemsOf(shape, after);
  for (const child of now.values()) {
    const other = old.get(child.element);
    if (other === undefined) differences.add(child.element, wholeItem(shape, child));
    else differences.put(child.element, compareChildren(other, child));
  }
  for (const child of old.values()) {
    if (!now.has(child.element)) differences.remove(child.element, wholeItem(shape, child));
  }
  return differences.result();
}

function compareChildren(old: Child, now: Child): Comparison {
  if (old.repeated === undefined && now.repeated === undefined) return compareValues(now.slot, old.value, now.value);
  // Items with the same keys are one thing, which comes, goes and changes as a whole.
  if (old.repeated !== undefined && now.repeated !== undefined) {
    return jsonEquals(old.repeated, now.repeated) ? SAME : { ...SAME, modified: LEAF };
  }
  if (old.repeated !== undefined) return { ...SAME, added: wholeSet(now.slot, now.value), removed: LEAF };
  return { ...SAME, added: LEAF, removed: wholeSet(old.slot, old.value) };
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
        setKey(result, key, mergeApplied(shape.child(key).slot, hasKey(result, key) ? result[key] : undefined, value));
      }
      return result;
    }
    case "set":
      return interleave(Array.isArray(live) ? live : [], applied as unknown[], valueElement, (_old, item) => item);
    case "keyed": {
      const { items } = shape;
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
      const { items } = shape;
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

function removeFields(childOf: (key: string) => NamedSlot, value: JsonObject, set: FieldSet): unknown {
  const result: JsonObject = {};
  let isTouched = false;
  for (const [key, inner] of Object.entries(value)) {
    const child = set.children.get(`f:${key}`);
    if (child?.member) continue;
    const rest = child === undefined ? inner : removePaths(childOf(key).slot, inner, child);
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
      configurationErrors(shape.child(key).slot, inner, `${path}.${key}`),
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
    return configurationErrors(shape.items, item, `${path}${shown}`);
  });
}
