/**
 * Who claims which element of which set. Several owners may claim one key of a map (two Services with the same external
 * IP): the first by name has it, and when that one leaves the next one gets it. Keys of plain sets (an endpoint that many
 * Services share) have no value to disagree about and are only counted. What changed is gathered between two calls of
 * `takeChanges`, so that a claim costs the same however many there are.
 */
import type { ElementChange } from "@knarr/netfilter/nft-state.ts";

/** A claim: `owner` wants `key` in the set `set`, and in a map `value` under it. */
export interface SetElement {
  readonly owner: string;
  readonly set: string;
  readonly key: string;
  readonly value: string;
}

/** One or several claims to a key of a map, or how many there are to a key of a set. */
type Claims = number | SetElement | readonly SetElement[];

export class ElementLedger {
  readonly #sets = new Map<string, Map<string, Claims>>();
  /** Set -> key -> the value at the last `takeChanges`. */
  #touched = new Map<string, Map<string, string | undefined>>();

  add(element: SetElement): void {
    const claims = this.#claimsOf(element.set);
    const held = claims.get(element.key);
    this.#touch(element, held);
    if (element.value === "") claims.set(element.key, ((held as number | undefined) ?? 0) + 1);
    else if (held === undefined) claims.set(element.key, element);
    else claims.set(element.key, [...listOf(held), element].sort(byOwner));
  }

  /** Throws a TypeError when the element was not added. */
  remove(element: SetElement): void {
    const claims = this.#claimsOf(element.set);
    const held = claims.get(element.key);
    if (typeof held === "number") {
      this.#touch(element, held);
      if (held === 1) claims.delete(element.key);
      else claims.set(element.key, held - 1);
      return;
    }
    const rest = held === undefined ? [] : [...listOf(held)];
    const at = rest.indexOf(element);
    if (at < 0) throw new TypeError(`${element.owner} does not claim ${element.key} of ${element.set}`);
    this.#touch(element, held);
    rest.splice(at, 1);
    const [only] = rest;
    if (only === undefined) claims.delete(element.key);
    else claims.set(element.key, rest.length === 1 ? only : rest);
  }

  /** What has become of the elements since the last call. */
  takeChanges(): Map<string, ElementChange> {
    const changes = new Map<string, ElementChange>();
    for (const [set, keys] of this.#touched) {
      const deleted: string[] = [];
      const added = new Map<string, string>();
      for (const [key, before] of keys) {
        const held = this.#sets.get(set)?.get(key);
        const after = held === undefined ? undefined : winnerOf(held);
        if (after === before) continue;
        if (before !== undefined) deleted.push(key);
        if (after !== undefined) added.set(key, after);
      }
      if (deleted.length + added.size > 0) changes.set(set, { deleted, added });
    }
    this.#touched = new Map();
    return changes;
  }

  /** All elements, per set. */
  elements(): Map<string, Map<string, string>> {
    const all = new Map<string, Map<string, string>>();
    for (const [set, claims] of this.#sets) {
      const values = new Map<string, string>();
      for (const [key, held] of claims) values.set(key, winnerOf(held));
      all.set(set, values);
    }
    return all;
  }

  #claimsOf(set: string): Map<string, Claims> {
    const found = this.#sets.get(set);
    if (found !== undefined) return found;
    const made = new Map<string, Claims>();
    this.#sets.set(set, made);
    return made;
  }

  #touch({ set, key }: SetElement, held: Claims | undefined): void {
    let keys = this.#touched.get(set);
    if (keys === undefined) {
      keys = new Map();
      this.#touched.set(set, keys);
    }
    if (!keys.has(key)) keys.set(key, held === undefined ? undefined : winnerOf(held));
  }
}

function listOf(claims: Claims): readonly SetElement[] {
  return Array.isArray(claims) ? (claims as readonly SetElement[]) : [claims as SetElement];
}

function winnerOf(claims: Claims): string {
  return typeof claims === "number" ? "" : (listOf(claims)[0] as SetElement).value;
}

function byOwner(a: SetElement, b: SetElement): number {
  return a.owner < b.owner ? -1 : a.owner > b.owner ? 1 : 0;
}
