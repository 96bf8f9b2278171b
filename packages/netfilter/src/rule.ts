/**
 * Packet filter rules as data, in the vocabulary of iptables: what renderers write, the tracer walks and tests compare.
 * A rule's fields are all conditions that must hold together; its target says what then happens.
 * nftables maps, ipsets and IPVS servers are different shapes, with models of their own (nft-rule.ts, ip-set.ts, ipvs.ts).
 */

export const tables = ["mangle", "filter", "nat"] as const;
export type Table = (typeof tables)[number];

export type Protocol = "tcp" | "udp" | "sctp";

/** Source: iptables-extensions(8) conntrack; in the order in which iptables-save prints them. */
export const conntrackStates = ["INVALID", "NEW", "RELATED", "ESTABLISHED", "UNTRACKED", "SNAT", "DNAT"] as const;
export type ConntrackState = (typeof conntrackStates)[number];

export interface Negatable<T> {
  readonly is: T;
  readonly not?: boolean;
}

export type RecentMatch =
  /** Notes the packet's source address in the list `name`. */
  | { readonly kind: "set"; readonly name: string }
  /** Holds when the source address was noted within `seconds`; older entries are dropped. */
  | { readonly kind: "check"; readonly name: string; readonly seconds: number };

export type Target =
  | { readonly kind: "jump"; readonly chain: string }
  | { readonly kind: "accept" }
  | { readonly kind: "drop" }
  | { readonly kind: "return" }
  /** Answers with an ICMP port-unreachable. */
  | { readonly kind: "reject" }
  /** `to` is "address:port" or "[address]:port". */
  | { readonly kind: "dnat"; readonly to: string }
  | { readonly kind: "masquerade"; readonly randomFully: boolean }
  /** mark = (mark & ~clear) ^ xor: an "or" clears what it sets, a plain "xor" clears nothing. */
  | { readonly kind: "mark"; readonly xor: number; readonly clear: number }
  /** No target: the rule counts packets, or carries a comment. */
  | { readonly kind: "none" };

export interface Rule {
  /** A prefix; a bare address means its full length. */
  readonly source?: Negatable<string>;
  readonly destination?: Negatable<string>;
  /** A trailing "+" matches any suffix. */
  readonly inInterface?: Negatable<string>;
  readonly outInterface?: Negatable<string>;
  readonly protocol?: Protocol;
  readonly comment?: string;
  readonly destinationPort?: number;
  /** addrtype: whether the address is one of the host's own. */
  readonly sourceIsLocal?: boolean;
  readonly destinationIsLocal?: boolean;
  readonly conntrack?: Negatable<readonly ConntrackState[]>;
  readonly mark?: Negatable<{ readonly value: number; readonly mask: number }>;
  /** An ipset that holds what the packet has there: "dst,dst" is its destination address and port. */
  readonly inSet?: Negatable<{ readonly name: string; readonly directions: string }>;
  readonly recent?: RecentMatch;
  /** Holds for one packet in `oneIn`, at random. */
  readonly oneIn?: number;
  readonly target: Target;
}

export const accept: Target = { kind: "accept" };
export const drop: Target = { kind: "drop" };
export const reject: Target = { kind: "reject" };
export const returnToCaller: Target = { kind: "return" };

export function jumpTo(chain: string): Target {
  return { kind: "jump", chain };
}

/** Sets the bits of `mark`, leaving the others. */
export function orMark(mark: number): Target {
  return { kind: "mark", xor: mark, clear: mark };
}

/** Flips the bits of `mark`. */
export function xorMark(mark: number): Target {
  return { kind: "mark", xor: mark, clear: 0 };
}
