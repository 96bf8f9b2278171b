/**
 * A complete wanted state of our part of the packet filter: chains that we own, rule by rule, and the jumps from the
 * kernel's built-in chains into them. What is not in a ruleset and not ours is never touched.
 */
import type { Rule, Table } from "./rule.ts";

/** A rule of ours in a chain that is not ours. */
export interface BaseJump {
  readonly table: Table;
  /** A built-in chain: PREROUTING, INPUT, FORWARD, OUTPUT, POSTROUTING. */
  readonly from: string;
  /** First: before what others put there. Last: after it. */
  readonly place: "first" | "last";
  readonly rule: Rule;
}

export type Chains = ReadonlyMap<string, readonly Rule[]>;

export interface Ruleset {
  readonly chains: ReadonlyMap<Table, Chains>;
  /** In the order in which the rules shall stand, per built-in chain and place. */
  readonly jumps: readonly BaseJump[];
}

/** How many rules a table holds, for metrics and for tests that pin the number. */
export function countRules(ruleset: Ruleset, table: Table): number {
  let count = 0;
  for (const rules of ruleset.chains.get(table)?.values() ?? []) count += rules.length;
  return count;
}
