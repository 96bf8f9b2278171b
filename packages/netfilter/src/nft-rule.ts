/**
 * A table of nftables as data: chains of rules, sets and maps with their elements, in the small vocabulary that Services
 * need. What the renderer writes, the tracer walks and tests compare.
 *
 * An element is text on both sides, as nft prints it: "tcp . 10.96.0.10 . 53" leads to "goto cluster-2", and
 * "10.96.0.10 . 53 . 1" to "10.244.1.7 . 5353".
 */
import type { IpFamily } from "./ip.ts";
import type { Negatable, Protocol } from "./rule.ts";

/** What keys are made of. `index` in a rule is a random number below the rule's `choices`. */
export type NftField = "protocol" | "source" | "destination" | "destinationPort" | "index";
export type NftKey = readonly NftField[];

export type NftMatch =
  /** A prefix; a bare address means its full length. */
  | ({ readonly kind: "source" | "destination" } & Negatable<string>)
  /** A trailing "*" matches any suffix. */
  | ({ readonly kind: "inInterface" } & Negatable<string>)
  | ({ readonly kind: "inSet"; readonly key: NftKey } & Negatable<string>)
  | ({ readonly kind: "mark"; readonly mask: number } & Negatable<"set">)
  | { readonly kind: "state"; readonly is: "new" | "invalid" }
  | { readonly kind: "sourceIsLocal" | "destinationIsLocal" }
  | { readonly kind: "protocol"; readonly is: Protocol };

export type NftAction =
  | { readonly kind: "jump" | "goto"; readonly chain: string }
  | { readonly kind: "accept" | "drop" | "reject" | "return" }
  /** The verdict that the map holds for the packet; the rule does nothing when it holds none. */
  | { readonly kind: "lookUp"; readonly key: NftKey; readonly map: string }
  /** For packets of this protocol: translates the destination to what the map holds, or does nothing when it holds none. */
  | {
      readonly kind: "translate";
      readonly protocol: Protocol;
      readonly key: NftKey;
      readonly map: string;
      readonly choices: number;
    }
  /** `to` is "address:port" or "[address]:port". */
  | { readonly kind: "dnat"; readonly to: string }
  /** Goes to one of the chains, each with the same probability. */
  | { readonly kind: "choose"; readonly chains: readonly string[] }
  /** Notes the source address in a dynamic set, or renews its note. */
  | { readonly kind: "note"; readonly set: string; readonly seconds: number }
  | { readonly kind: "masquerade" }
  | { readonly kind: "mark"; readonly how: "set" | "flip"; readonly mask: number };

export interface NftRule {
  readonly matches: readonly NftMatch[];
  readonly action: NftAction;
}

/** Where the kernel calls a base chain. Source: nft(8), priorities by number */
export interface NftHook {
  readonly type: "filter" | "nat";
  readonly hook: "prerouting" | "input" | "forward" | "output" | "postrouting";
  readonly priority: number;
}

export interface NftChain {
  readonly hook?: NftHook;
  readonly rules: readonly NftRule[];
}

export interface NftSet {
  readonly key: NftKey;
  /** Makes it a map: to verdicts, or to endpoints of one protocol. */
  readonly data?: "verdict" | Protocol;
  /** The last field of the key may be a prefix. */
  readonly interval?: boolean;
  /** Filled by rules: at most so many elements, of which each leaves when its time is over. */
  readonly dynamicSize?: number;
}

/** Key -> value; the value is "" in sets. */
export type NftElements = ReadonlyMap<string, string>;

export interface NftTable {
  readonly family: IpFamily;
  readonly name: string;
  readonly chains: ReadonlyMap<string, NftChain>;
  readonly sets: ReadonlyMap<string, NftSet>;
  /** Per set; none for those that rules fill. */
  readonly elements: ReadonlyMap<string, NftElements>;
}

/** How many rules a table holds, for metrics and for tests that pin the number. */
export function countNftRules(table: Pick<NftTable, "chains">): number {
  let count = 0;
  for (const { rules } of table.chains.values()) count += rules.length;
  return count;
}

export function when(matches: readonly NftMatch[], action: NftAction): NftRule {
  return { matches, action };
}
