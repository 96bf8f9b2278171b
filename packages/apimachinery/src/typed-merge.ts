/**
 * Objects seen through their schema: which paths a value sets, what differs between two values, how an applied
 * configuration merges into a live object, and how paths are taken out of one.
 * Source: k8s.io structured-merge-diff, typed; KEP-555
 */
import { EMPTY_SET, type FieldSet, isEmptySet, LEAF, unionSets } from "./field-set.ts";
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

function shapeOf({ type, field }: Slot, value: unknown): Shape {
  if (type === undefined) {
    // Values that no table describes are owned field by field, lists as a whole.
    return isJsonObject(value) ? { kind: "fields", child: () => UNTYPED } : { kind: "leaf" };
  }
  switch (type.kind) {
    case "struct": {
      if (field?.mapType === "atomic" || type.struct.atomic || !isJsonObject(value)) return { kind: "leaf" };
      const { fields } = type.struct;
      return {
        kind: "fields",
        child: (key) => {
          const inner = fields.get(key);
          return inner === undefined ? UNTYPED : { type: inner.type, field: inner };
        },
      };
    }
    case "map": {
      if (field?.mapType === "atomic" || !isJsonObject(value)) return { kind: "leaf" };
      const slot: Slot = { type: type.values, field: undefined };
      return { kind: "fields", child: () => slot };
    }
    case "list": {
      if (!Array.isArray(value)) return { kind: "leaf" };
      if (field?.listType === "set") return { kind: "set" };
      if (field?.listType === "map" && field.listMapKeys !== undefined) {
        return { kind: "keyed", keys: field.listMapKeys, items: type.items };
      }
      return { kind: "leaf" };
    }
    default:
      return { kind: "leaf" };
  }
}

/** `k:{"containerPort":80,"protocol":"TCP"}`: keys sorted, absent keys taken from their defaults. */
function keyElement(item: unknown, keys: readonly string[], items: TypeSchema): string {
  const fields = items.kind === "struct" ? items.struct.fields : undefined;
  const key: JsonObject = {};
  for (const name of [...keys].sort()) {
    const value = isJsonObject(item) ? (item[name] ?? fields?.get(name)?.default) : undefined;
    if (value !== undefined && value !== null) key[name] = value;
  }
  return `k:${JSON.stringify(key)}`;
}

const valueElement = (item: unknown) => `v:${JSON.stringify(item)}`;

interface Child {
  readonly element: string;
  readonly value: unknown;
  readonly slot: Slot;
}

/** The parts of a value that are owned by themselves, or undefined for a leaf. Of equal list items the first counts. */
function childrenOf(slot: Slot, value: unknown): { shape: Shape; children: Map<string, Child> } | undefined {
  const shape = shapeOf(slot, value);
  const children = new Map<string, Child>();
  const put = (child: Child) => {
    if (!children.has(child.element)) children.set(child.element, child);
  };
  switch (shape.kind) {
    case "leaf":
      return undefined;
    case "fields":
      for (const [key, inner] of Object.entries(value as JsonObject)) {
        if (inner !== undefined) put({ element: `f:${key}`, value: inner, slot: shape.child(key) });
      }
      return { shape, children };
    case "set":
      for (const item of value as unknown[]) put({ element: valueElement(item), value: item, slot: UNTYPED });
      return { shape, children };
    case "keyed":
      for (const item of value as unknown[]) {
        const element = keyElement(item, shape.keys, shape.items);
        put({ element, value: item, slot: { type: shape.items, field: undefined } });
      }
      return { shape, children };
    default:
      return shape satisfies never;
  }
}

/** What an applied configuration owns: its leaves, its empty maps and lists, and the items it names. */
export function fieldSetOf(slot: Slot, value: unknown): FieldSet {
  const parts = childrenOf(slot, value);
  if (parts === undefined || parts.children.size === 0) return LEAF;
  const children = new Map<string, FieldSet>();
  for (const { element, value: inner, slot: innerSlot } of parts.children.values()) {
    const set = parts.shape.kind === "set" ? LEAF : fieldSetOf(innerSlot, inner);
    children.set(element, parts.shape.kind === "keyed" ? { member: true, children: set.children } : set);
  }
  return { member: false, children };
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
  const parts = childrenOf(slot, value);
  if (parts === undefined) return LEAF;
  const children = new Map<string, FieldSet>();
  for (const child of parts.children.values()) {
    children.set(child.element, parts.shape.kind === "set" ? LEAF : wholeSet(child.slot, child.value));
  }
  return { member: true, children };
}

export function compareValues(slot: Slot, before: unknown, after: unknown): Comparison {
  if (jsonEquals(before, after)) return SAME;
  const old = childrenOf(slot, before);
  const now = childrenOf(slot, after);
  if (old === undefined || now === undefined) return { ...SAME, modified: LEAF };
  const result = { added: new Map<string, FieldSet>(), modified: new Map(), removed: new Map<string, FieldSet>() };
  const put = (into: Map<string, FieldSet>, element: string, set: FieldSet) => {
    if (!isEmptySet(set)) into.set(element, set);
  };
  for (const { element, value, slot: childSlot } of now.children.values()) {
    const other = old.children.get(element);
    if (other === undefined) put(result.added, element, now.shape.kind === "set" ? LEAF : wholeSet(childSlot, value));
    else {
      const inner = compareValues(childSlot, other.value, value);
      put(result.added, element, inner.added);
      put(result.modified, element, inner.modified);
      put(result.removed, element, inner.removed);
    }
  }
  for (const { element, value, slot: childSlot } of old.children.values()) {
    if (!now.children.has(element)) {
      put(result.removed, element, old.shape.kind === "set" ? LEAF : wholeSet(childSlot, value));
    }
  }
  const node = (children: Map<string, FieldSet>): FieldSet => ({ member: false, children });
  return { added: node(result.added), modified: node(result.modified), removed: node(result.removed) };
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

/** Items of both lists once: applied ones in their order, the others where they stood before their successor. */
function interleave(
  live: readonly unknown[],
  applied: readonly unknown[],
  identity: (item: unknown) => string,
  merge: (old: unknown, item: unknown) => unknown,
): unknown[] {
  const wanted = new Set(applied.map(identity));
  const known = new Map<string, unknown>();
  for (const item of live) if (!known.has(identity(item))) known.set(identity(item), item);
  const result: unknown[] = [];
  const done = new Set<string>();
  let left = 0;
  const takeLive = (until: string | undefined) => {
    for (; left < live.length; left++) {
      const id = identity(live[left]);
      if (id === until) {
        left++;
        return;
      }
      if (!wanted.has(id)) result.push(live[left]);
    }
  };
  for (const item of applied) {
    const id = identity(item);
    if (done.has(id)) continue;
    done.add(id);
    const isAhead = live.slice(left).some((other) => identity(other) === id);
    if (isAhead) takeLive(id);
    result.push(known.has(id) ? merge(known.get(id), item) : item);
  }
  takeLive(undefined);
  return result;
}

/** `value` without the members of `set`; undefined when nothing is left of it because it was itself a member. */
export function removePaths(slot: Slot, value: unknown, set: FieldSet): unknown {
  if (set.children.size === 0) return value;
  const shape = shapeOf(slot, value);
  if (shape.kind === "fields") {
    const result: JsonObject = { ...(value as JsonObject) };
    for (const [element, child] of set.children) {
      const key = element.slice(2);
      if (!element.startsWith("f:") || !hasKey(result, key)) continue;
      if (child.member) delete result[key];
      else setKey(result, key, removePaths(shape.child(key), result[key], child));
    }
    return result;
  }
  if (shape.kind === "set") return (value as unknown[]).filter((item) => !set.children.get(valueElement(item))?.member);
  if (shape.kind === "keyed") {
    const items: Slot = { type: shape.items, field: undefined };
    return (value as unknown[]).flatMap((item) => {
      const child = set.children.get(keyElement(item, shape.keys, shape.items));
      if (child === undefined) return [item];
      return child.member ? [] : [removePaths(items, item, child)];
    });
  }
  return value;
}

/** Leaves `set` with only those members whose path exists in `value`. */
export function existingPaths(slot: Slot, value: unknown, set: FieldSet): FieldSet {
  const parts = childrenOf(slot, value);
  const children = new Map<string, FieldSet>();
  for (const [element, child] of set.children) {
    const found = parts?.children.get(element);
    if (found === undefined) continue;
    const inner = parts?.shape.kind === "set" ? LEAF : existingPaths(found.slot, found.value, child);
    if (!isEmptySet(inner)) children.set(element, inner);
  }
  return unionSets({ member: set.member, children: new Map() }, { member: false, children });
}
