/**
 * The packet filter rules of the pod network: forwarding for pods, and masquerading for what leaves the cluster, since
 * nobody out there has a route back to a pod. They stand last, so that kube-proxy's refusals come before.
 */
import { familyOf, type IpFamily } from "@knarr/netfilter/ip.ts";
import { accept, jumpTo, type Rule, returnToCaller, type Table } from "@knarr/netfilter/rule.ts";
import type { BaseJump, Ruleset } from "@knarr/netfilter/ruleset.ts";

export const MASQUERADE_CHAIN = "KNARR-MASQ";
export const FORWARD_CHAIN = "KNARR-FORWARD";

/** Whether a chain found in the kernel was made here. */
export function isOwnChain(_table: Table, chain: string): boolean {
  return chain === MASQUERADE_CHAIN || chain === FORWARD_CHAIN;
}

export interface RulesInput {
  readonly clusterPrefixes: readonly string[];
  /** This node's pod ranges. */
  readonly podPrefixes: readonly string[];
  readonly masquerade: boolean;
}

const multicast: Readonly<Record<IpFamily, string>> = { ipv4: "224.0.0.0/4", ipv6: "ff00::/8" };

/** One ruleset per address family that the node's pods have. */
export function planRules(input: RulesInput): ReadonlyMap<IpFamily, Ruleset> {
  const families = [...new Set(input.podPrefixes.map(familyOf))];
  return new Map(families.map((family) => [family, rulesOf(family, input)]));
}

function rulesOf(family: IpFamily, input: RulesInput): Ruleset {
  const ofFamily = (prefixes: readonly string[]) => prefixes.filter((prefix) => familyOf(prefix) === family);
  const own = ofFamily(input.podPrefixes);
  // Without a cluster range only this node's pods are known to be pods.
  const cluster = ofFamily(input.clusterPrefixes).length > 0 ? ofFamily(input.clusterPrefixes) : own;
  const stays: Rule[] = [...cluster, multicast[family]].map((prefix) => ({
    destination: { is: prefix },
    target: returnToCaller,
  }));
  const leaves: Rule[] = own.map((prefix) => ({
    source: { is: prefix },
    comment: "pod traffic that leaves the cluster",
    target: { kind: "masquerade", randomFully: true },
  }));
  const forward: Rule[] = cluster.flatMap((prefix) => [
    { source: { is: prefix }, comment: "from pods", target: accept },
    { destination: { is: prefix }, comment: "to pods", target: accept },
  ]);
  const jump = (table: Table, from: string, chain: string): BaseJump => ({
    table,
    from,
    place: "last",
    rule: { comment: "knarr pod network", target: jumpTo(chain) },
  });
  const chains = new Map<Table, Map<string, readonly Rule[]>>([["filter", new Map([[FORWARD_CHAIN, forward]])]]);
  const jumps = [jump("filter", "FORWARD", FORWARD_CHAIN)];
  if (input.masquerade) {
    chains.set("nat", new Map([[MASQUERADE_CHAIN, [...stays, ...leaves]]]));
    jumps.push(jump("nat", "POSTROUTING", MASQUERADE_CHAIN));
  }
  return { chains, jumps };
}
