/**
 * Sums by topology key and value: {zone: {a: 2, b: 0}, hostname: {n1: 1}}.
 *
 * Built in a cycle from maps that the cache keeps. A map that is the only one of its key is shared until something
 * changes, because most pods meet one group with thousands of values.
 */
import type { NodeInfo } from "../core/node-info.ts";

export class TopologySums {
  readonly #keys = new Map<string, { values: ReadonlyMap<string, number>; own: boolean }>();

  get isEmpty(): boolean {
    return this.#keys.size === 0;
  }

  /** Adds `counts` times `weight`. */
  include(topologyKey: string, counts: ReadonlyMap<string, number>, weight = 1): void {
    if (counts.size === 0 || weight === 0) return;
    if (weight === 1 && !this.#keys.has(topologyKey)) {
      this.#keys.set(topologyKey, { values: counts, own: false });
      return;
    }
    const values = this.#own(topologyKey);
    for (const [value, count] of counts) values.set(value, (values.get(value) ?? 0) + weight * count);
  }

  change(topologyKey: string, value: string, by: number): void {
    const values = this.#own(topologyKey);
    const sum = (values.get(value) ?? 0) + by;
    if (sum === 0) values.delete(value);
    else values.set(value, sum);
    if (values.size === 0) this.#keys.delete(topologyKey);
  }

  of(topologyKey: string, value: string): number {
    return this.#keys.get(topologyKey)?.values.get(value) ?? 0;
  }

  /** Whether any of the node's topology values has a positive sum. */
  holdsOn(node: NodeInfo): boolean {
    for (const [key, { values }] of this.#keys) {
      const value = node.labels[key];
      if (value !== undefined && (values.get(value) ?? 0) > 0) return true;
    }
    return false;
  }

  sumOn(node: NodeInfo): number {
    let sum = 0;
    for (const [key, { values }] of this.#keys) {
      const value = node.labels[key];
      if (value !== undefined) sum += values.get(value) ?? 0;
    }
    return sum;
  }

  clone(): TopologySums {
    const copy = new TopologySums();
    for (const [key, { values, own }] of this.#keys)
      copy.#keys.set(key, { values: own ? new Map(values) : values, own });
    return copy;
  }

  #own(topologyKey: string): Map<string, number> {
    const known = this.#keys.get(topologyKey);
    if (known?.own === true) return known.values as Map<string, number>;
    const values = new Map(known?.values);
    this.#keys.set(topologyKey, { values, own: true });
    return values;
  }
}
