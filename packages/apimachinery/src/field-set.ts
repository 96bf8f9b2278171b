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

/** Combines two trees node by node; `keep` decides on membership, subtrees that end up empty vanish. */
function combine(a: FieldSet, b: FieldSet, keep: (a: boolean, b: boolean) => boolean): FieldSet {
  const children = new Map<string, FieldSet>();
  for (const element of new Set([...a.children.keys(), ...b.children.keys()])) {
    const child = combine(a.children.get(element) ?? EMPTY_SET, b.children.get(element) ?? EMPTY_SET, keep);
    if (!isEmptySet(child)) children.set(element, child);
  }
  return make(keep(a.member, b.member), children);
}

export const unionSets = (a: FieldSet, b: FieldSet): FieldSet => combine(a, b, (x, y) => x || y);
export const differenceOfSets = (a: FieldSet, b: FieldSet): FieldSet => combine(a, b, (x, y) => x && !y);
export const intersectionOfSets = (a: FieldSet, b: FieldSet): FieldSet => combine(a, b, (x, y) => x && y);

/** `a` without the members of `b` and without anything below them. */
export function recursiveDifference(a: FieldSet, b: FieldSet): FieldSet {
  if (b.member) return EMPTY_SET;
  const children = new Map<string, FieldSet>();
  for (const [element, child] of a.children) {
    const other = b.children.get(element);
    const rest = other === undefined ? child : recursiveDifference(child, other);
    if (!isEmptySet(rest)) children.set(element, rest);
  }
  return make(a.member, children);
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

/** Every member's path, parents before children. */
export function* pathsOf(set: FieldSet, prefix: FieldPath = []): Iterable<FieldPath> {
  if (set.member && prefix.length > 0) yield prefix;
  for (const [element, child] of set.children) yield* pathsOf(child, [...prefix, element]);
}

/** Elements in upstream's order: fields first, each kind by its text. */
function compareElements(a: string, b: string): number {
  const rank = (element: string) => "fkvi".indexOf(element[0] ?? "");
  return rank(a) - rank(b) || (a < b ? -1 : Number(a > b));
}

export function encodeFieldsV1(set: FieldSet): Record<string, unknown> {
  const fields: Record<string, unknown> = {};
  if (set.member && set.children.size > 0) fields["."] = {};
  for (const element of [...set.children.keys()].sort(compareElements)) {
    fields[element] = encodeFieldsV1(set.children.get(element) ?? EMPTY_SET);
  }
  return fields;
}

/** Throws TypeError when `fields` is not FieldsV1. */
export function decodeFieldsV1(fields: unknown): FieldSet {
  const set = decodeNode(fields);
  return { member: false, children: set.children };
}

function decodeNode(fields: unknown): FieldSet {
  if (typeof fields !== "object" || fields === null || Array.isArray(fields)) {
    throw new TypeError("fieldsV1 must be nested objects");
  }
  const children = new Map<string, FieldSet>();
  let member = Object.keys(fields).length === 0;
  for (const [element, inner] of Object.entries(fields)) {
    if (element === ".") member = true;
    else if (/^[fkvi]:/.test(element)) children.set(element, decodeNode(inner));
    else
      throw new TypeError(`fieldsV1 has the path element ${JSON.stringify(element)}: must begin with f:, k:, v: or i:`);
  }
  return make(member, children);
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
      const keys = Object.entries(JSON.parse(rest) as Record<string, unknown>).sort(([a], [b]) => (a < b ? -1 : 1));
      return `[${keys.map(([key, value]) => `${key}=${JSON.stringify(value)}`).join(",")}]`;
    }
    case "v":
      return `[=${rest}]`;
    default:
      return `[${rest}]`;
  }
}
