/**
 * Sets of field paths, as managedFields hold them: who owns what.
 *
 * A set is a tree. An edge is a path element in the notation of FieldsV1:
 *   f:NAME   a field          k:{"name":"a"}   an item of a keyed list, by its keys
 *   v:VALUE  a set's value    i:INDEX          an item by position
 * A node is a member when the path up to it is owned as such; "." in FieldsV1 when it has children too.
 *
 *   {"f:spec":{"f:replicas":{},"f:ports":{"k:{\"port\":80}":{".":{},"f:port":{}}}}}
 *
 * Source: k8s.io structured-merge-diff, fieldpath; KEP-555
 */
import { compareUtf8, JsonError, parseJson, stringifyJson } from "./json.ts";
import { isJsonObject, type JsonObject } from "./schema.ts";

export interface FieldSet {
  /** The path up to here is itself in the set. */
  readonly member: boolean;
  readonly children: ReadonlyMap<string, FieldSet>;
}

export const EMPTY_SET: FieldSet = { member: false, children: new Map() };
export const LEAF: FieldSet = { member: true, children: new Map() };

export type FieldPath = readonly string[];

function make(member: boolean, children: ReadonlyMap<string, FieldSet>): FieldSet {
  return children.size === 0 ? (member ? LEAF : EMPTY_SET) : { member, children };
}

export function isEmptySet(set: FieldSet): boolean {
  return !set.member && set.children.size === 0;
}

/** Subtrees that only one side has are shared with it: every write of every object comes through here. */
export function unionSets(a: FieldSet, b: FieldSet): FieldSet {
  if (isEmptySet(b) || a === b) return a;
  if (isEmptySet(a)) return b;
  const children = new Map(a.children);
  for (const [element, child] of b.children) {
    const other = children.get(element);
    children.set(element, other === undefined ? child : unionSets(other, child));
  }
  return make(a.member || b.member, children);
}

/** Member by member: what lies below a member of `b` stays. */
export function differenceOfSets(a: FieldSet, b: FieldSet): FieldSet {
  if (isEmptySet(b) || isEmptySet(a)) return a;
  const children = withoutChildren(a, b, differenceOfSets);
  return children === a.children && !(a.member && b.member) ? a : make(a.member && !b.member, children);
}

/** What `differ` leaves of each child of `a` that `b` has too; `a`'s own map when that is all of them. */
function withoutChildren(
  a: FieldSet,
  b: FieldSet,
  differ: (a: FieldSet, b: FieldSet) => FieldSet,
): ReadonlyMap<string, FieldSet> {
  let children: Map<string, FieldSet> | undefined;
  const [few, many] = a.children.size < b.children.size ? [a, b] : [b, a];
  for (const element of few.children.keys()) {
    if (!many.children.has(element)) continue;
    const child = a.children.get(element) ?? EMPTY_SET;
    const rest = differ(child, b.children.get(element) ?? EMPTY_SET);
    if (rest === child) continue;
    children ??= new Map(a.children);
    if (isEmptySet(rest)) children.delete(element);
    else children.set(element, rest);
  }
  return children ?? a.children;
}

export function intersectionOfSets(a: FieldSet, b: FieldSet): FieldSet {
  const children = new Map<string, FieldSet>();
  for (const [element, child] of a.children) {
    const other = b.children.get(element);
    const both = other === undefined ? EMPTY_SET : intersectionOfSets(child, other);
    if (!isEmptySet(both)) children.set(element, both);
  }
  return make(a.member && b.member, children);
}

/** `a` without the members of `b` and without anything below them. */
export function recursiveDifference(a: FieldSet, b: FieldSet): FieldSet {
  if (b.member) return EMPTY_SET;
  const children = withoutChildren(a, b, recursiveDifference);
  return children === a.children ? a : make(a.member, children);
}

export function setsEqual(a: FieldSet, b: FieldSet): boolean {
  if (a.member !== b.member || a.children.size !== b.children.size) return false;
  for (const [element, child] of a.children) {
    const other = b.children.get(element);
    if (other === undefined || !setsEqual(child, other)) return false;
  }
  return true;
}

/** The set of one path. */
export function setOfPath(path: FieldPath): FieldSet {
  return path.reduceRight<FieldSet>((set, element) => ({ member: false, children: new Map([[element, set]]) }), LEAF);
}

export function setOfPaths(paths: readonly FieldPath[]): FieldSet {
  return paths.reduce<FieldSet>((set, path) => unionSets(set, setOfPath(path)), EMPTY_SET);
}

export function hasPath(set: FieldSet, path: FieldPath): boolean {
  let node: FieldSet | undefined = set;
  for (const element of path) {
    node = node.children.get(element);
    if (node === undefined) return false;
  }
  return node.member;
}

/** Every member's path in upstream's order: at each node first its own members, then what lies deeper. */
export function* pathsOf(set: FieldSet, prefix: FieldPath = []): Iterable<FieldPath> {
  const elements = sortElements([...set.children.keys()]);
  for (const element of elements) if (set.children.get(element)?.member) yield [...prefix, element];
  for (const element of elements) {
    const child = set.children.get(element);
    if (child !== undefined && child.children.size > 0) yield* pathsOf(child, [...prefix, element]);
  }
}

/** Fields first, then keys, values and indices, each kind by what it stands for. */
function sortElements(elements: string[]): string[] {
  if (elements.length > FEW || elements[0]?.[0] === "k") return elements.sort(compareElements);
  // Nearly every node has few names, and of those that were read from an object many are in order: no copy, as a sort would make.
  for (let i = 1; i < elements.length; i++) {
    const element = elements[i] as string;
    let at = i;
    for (; at > 0 && compareElements(elements[at - 1] as string, element) > 0; at--) {
      elements[at] = elements[at - 1] as string;
    }
    elements[at] = element;
  }
  return elements;
}

const FEW = 16;

function compareElements(a: string, b: string): number {
  if (a[0] !== b[0]) return "fkvi".indexOf(a[0] ?? "") - "fkvi".indexOf(b[0] ?? "");
  if (a[0] === "f") return compareUtf8(a, b);
  return compareJson(jsonOf(a), jsonOf(b)) || compareUtf8(a, b);
}

/** What stands behind "k:", "v:" or "i:"; undefined when it is no JSON, which only a client can have written. */
function jsonOf(element: string): unknown {
  try {
    return parseJson(element.slice(2));
  } catch (error) {
    if (error instanceof JsonError) return undefined;
    throw error;
  }
}

/** Numbers before texts before booleans; maps by their sorted keys. Source: structured-merge-diff, value.Compare */
function compareJson(a: unknown, b: unknown): number {
  if (isJsonObject(a) && isJsonObject(b)) return compareObjects(a, b);
  const kinds = ["number", "bigint", "string", "boolean", "object", "undefined"];
  const kind = (value: unknown) => kinds.indexOf(typeof value === "bigint" ? "number" : typeof value);
  if (kind(a) !== kind(b)) return kind(a) - kind(b);
  if (typeof a === "string" && typeof b === "string") return compareUtf8(a, b);
  const [x, y] = [a as number | bigint | boolean, b as number | bigint | boolean];
  return x < y ? -1 : Number(x > y);
}

function compareObjects(a: JsonObject, b: JsonObject): number {
  const keysOfA = Object.keys(a).sort(compareUtf8);
  const keysOfB = Object.keys(b).sort(compareUtf8);
  for (const [i, key] of keysOfA.entries()) {
    const other = keysOfB[i];
    if (other === undefined) return 1;
    const difference = compareUtf8(key, other) || compareJson(a[key], b[other]);
    if (difference !== 0) return difference;
  }
  return keysOfA.length - keysOfB.length;
}

/** What stands for a leaf; shared, as every object has dozens. */
const NO_FIELDS: Record<string, unknown> = Object.freeze({});

export function encodeFieldsV1(set: FieldSet): Record<string, unknown> {
  if (set.children.size === 0) return NO_FIELDS;
  const fields: Record<string, unknown> = {};
  if (set.member) fields["."] = NO_FIELDS;
  for (const element of sortElements([...set.children.keys()])) {
    fields[element] = encodeFieldsV1(set.children.get(element) ?? EMPTY_SET);
  }
  return fields;
}

/** No honest object is deeper. */
const MAX_DEPTH = 200;

/** Throws TypeError when `fields` is not FieldsV1. */
export function decodeFieldsV1(fields: unknown): FieldSet {
  const set = decodeNode(fields, 0);
  return { member: false, children: set.children };
}

function decodeNode(fields: unknown, depth: number): FieldSet {
  if (depth > MAX_DEPTH) throw new TypeError("fieldsV1 is nested too deeply");
  if (typeof fields !== "object" || fields === null || Array.isArray(fields)) {
    throw new TypeError("fieldsV1 must be nested objects");
  }
  const children = new Map<string, FieldSet>();
  const elements = Object.keys(fields);
  if (elements.length === 0) return LEAF;
  let member = false;
  for (const element of elements) {
    const inner = (fields as JsonObject)[element];
    if (element === ".") member = true;
    else if (isElement(element)) children.set(element, decodeNode(inner, depth + 1));
    // Kinds of elements that a later version may know are dropped, as upstream does.
    else if (element[1] !== ":") throw new TypeError(`missing colon: ${element}`);
  }
  return make(member, children);
}

/** Whether it begins as the elements that we know: "f:", "k:", "v:" or "i:". */
function isElement(text: string): boolean {
  if (text[1] !== ":") return false;
  const kind = text[0];
  return kind === "f" || kind === "k" || kind === "v" || kind === "i";
}

/** `.spec.containers[name="a"].image`, as conflicts are reported. */
export function formatPath(path: FieldPath): string {
  return path.map(formatElement).join("");
}

function formatElement(element: string): string {
  const rest = element.slice(2);
  switch (element[0]) {
    case "f":
      return `.${rest}`;
    case "k": {
      const key = jsonOf(element);
      if (!isJsonObject(key)) return `[${rest}]`;
      const names = Object.keys(key).sort(compareUtf8);
      return `[${names.map((name) => `${name}=${stringifyJson(key[name])}`).join(",")}]`;
    }
    case "v":
      return `[=${rest}]`;
    default:
      return `[${rest}]`;
  }
}
