/**
 * How many pods of one kind are on which node, and so in which zone, rack or host.
 *
 * Worked example: pods of kind K: 2 on n1 (zone a), 1 on n2 (zone a), 1 on n3 (zone b)
 *   of(n1) = 2        byValue("zone") = {a: 3, b: 1}        byValue("hostname") = {n1: 2, n2: 1, n3: 1}
 *
 * Sums by a topology key are made when first asked for and kept current from then on. They are thrown away when a node's
 * labels change, by `forgetSums`.
 */
import type { NodeInfo } from "./node-info.ts";

export class TopologyCounts {
  readonly #byNode = new Map<NodeInfo, number>();
  readonly #sums = new Map<string, Map<string, number>>();

  get isEmpty(): boolean {
    return this.#byNode.size === 0;
  }

  nodes(): ReadonlyMap<NodeInfo, number> {
    return this.#byNode;
  }

  of(node: NodeInfo): number {
    return this.#byNode.get(node) ?? 0;
  }

  add(node: NodeInfo, difference: 1 | -1): void {
    const count = (this.#byNode.get(node) ?? 0) + difference;
    if (count > 0) this.#byNode.set(node, count);
    else this.#byNode.delete(node);
    for (const [key, sums] of this.#sums) {
      const value = node.labels[key];
      if (value === undefined) continue;
      const sum = (sums.get(value) ?? 0) + difference;
      if (sum > 0) sums.set(value, sum);
      else sums.delete(value);
    }
  }

  byValue(topologyKey: string): ReadonlyMap<string, number> {
    let sums = this.#sums.get(topologyKey);
    if (sums !== undefined) return sums;
    sums = new Map();
    for (const [node, count] of this.#byNode) {
      const value = node.labels[topologyKey];
      if (value !== undefined) sums.set(value, (sums.get(value) ?? 0) + count);
    }
    this.#sums.set(topologyKey, sums);
    return sums;
  }

  forgetSums(): void {
    this.#sums.clear();
  }
}
