/**
 * One Service port as elements of the table's maps and sets, and, with session affinity, chains and sets of its own:
 *
 *   sticky-cluster-HASH --> svc-HASH --known client, or at random--> ep-HASH: note the client, translate
 */
import { familyOf, formatPrefix, joinHostPort, parsePrefix, prefixContains } from "@knarr/netfilter/ip.ts";
import { type NftChain, type NftRule, type NftSet, when } from "@knarr/netfilter/nft-rule.ts";
import { hashName, type Sha256 } from "../chain-names.ts";
import type { SetElement } from "../element-ledger.ts";
import type { PlanOptions } from "../plan-service.ts";
import { type SelectedEndpoints, selectEndpoints } from "../select-endpoints.ts";
import type { Endpoint, ServicePort } from "../service-port.ts";
import {
  affinitySet,
  countedChain,
  type Entry,
  endpointMap,
  masqueradeRules,
  REJECT,
  type StaticSet,
} from "./layout.ts";

/** One element and whose it is: of two Services that claim the same key the first by name has it. */
export interface NftElement extends SetElement {
  readonly set: StaticSet;
}

export interface NftPortPlan {
  readonly elements: readonly NftElement[];
  /** Only with session affinity. */
  readonly chains: ReadonlyMap<string, NftChain>;
  readonly sets: ReadonlyMap<string, NftSet>;
  readonly withoutLocal: { readonly internal: boolean; readonly external: boolean };
}

export interface NftPortInput {
  readonly port: ServicePort;
  readonly endpoints: readonly Endpoint[];
  readonly options: PlanOptions;
  readonly sha256: Sha256;
}

export function planNftPort({ port, endpoints, options, sha256 }: NftPortInput): NftPortPlan {
  const draft = new PortDraft(port, selectEndpoints(port, endpoints, options), options, sha256);
  draft.addClusterIp();
  for (const address of new Set([...port.externalIps, ...port.loadBalancerIps])) draft.addExternalIp(address);
  if (port.nodePort !== 0) draft.addNodePort();
  draft.addFirewall();
  draft.addHairpins();
  return draft.plan();
}

const none: ReadonlyMap<string, never> = new Map<string, never>();

class PortDraft {
  readonly #port: ServicePort;
  readonly #selected: SelectedEndpoints;
  readonly #options: PlanOptions;
  readonly #sha256: Sha256;
  readonly #hasInternal: boolean;
  readonly #hasExternal: boolean;
  readonly #elements: NftElement[] = [];
  readonly #chains = new Map<string, NftChain>();
  readonly #sets = new Map<string, NftSet>();

  constructor(port: ServicePort, selected: SelectedEndpoints, options: PlanOptions, sha256: Sha256) {
    this.#port = port;
    this.#selected = selected;
    this.#options = options;
    this.#sha256 = sha256;
    this.#hasInternal = selected.exists && !(port.internalLocal && selected.local.length === 0);
    this.#hasExternal = selected.exists && !(port.externalLocal && selected.local.length === 0);
  }

  plan(): NftPortPlan {
    const { exists } = this.#selected;
    return {
      elements: this.#elements,
      chains: this.#chains.size === 0 ? none : this.#chains,
      sets: this.#sets.size === 0 ? none : this.#sets,
      withoutLocal: { internal: exists && !this.#hasInternal, external: exists && !this.#hasExternal },
    };
  }

  addClusterIp(): void {
    const { clusterIp, internalLocal } = this.#port;
    const key = this.#frontend(clusterIp);
    this.#add("cluster-ips", clusterIp);
    if (!this.#hasInternal) return this.#refuse("no-endpoint-ips", key);
    const list = internalLocal ? "local" : "cluster";
    this.#lead("service-ips", key, { entry: "cluster", list });
  }

  addExternalIp(address: string): void {
    const key = this.#frontend(address);
    if (!this.#hasExternal) this.#refuse("no-endpoint-ips", key);
    if (!this.#selected.exists) return;
    if (!this.#port.externalLocal) {
      return this.#lead("external-ips", key, { entry: "external", list: "cluster" });
    }
    this.#lead("inside-ips", key, { entry: "inside", list: "cluster" });
    this.#lead("external-ips", key, { entry: "local", list: "local" });
  }

  addNodePort(): void {
    const key = `${this.#port.protocol} . ${this.#port.nodePort}`;
    if (!this.#hasExternal) this.#refuse("no-endpoint-nodeports", key);
    if (!this.#selected.exists) return;
    if (!this.#port.externalLocal) {
      return this.#lead("nodeports", key, { entry: "nodeport-external", list: "cluster" });
    }
    this.#lead("inside-nodeports", key, { entry: "nodeport-inside", list: "cluster" });
    this.#lead("nodeports", key, { entry: "nodeport-local", list: "local" });
  }

  /** Balancer addresses that admit some sources only. */
  addFirewall(): void {
    const { loadBalancerIps, sourceRanges } = this.#port;
    if (!this.#selected.exists || sourceRanges.length === 0) return;
    const admitsNode = this.#options.nodeIps.some((ip) => sourceRanges.some((range) => prefixContains(range, ip)));
    // The node itself sends to a balancer address from that very address, when the address is bound to the node.
    const admitted = outermost([...sourceRanges, ...(admitsNode ? loadBalancerIps : [])]);
    for (const address of loadBalancerIps) {
      this.#add("firewall-ips", this.#frontend(address));
      for (const source of admitted) this.#add("firewall-sources", `${this.#frontend(address)} . ${source}`);
    }
  }

  addHairpins(): void {
    for (const { local, address } of this.#selected.reachable) {
      if (local) this.#add("hairpin", `${address} . ${address}`);
    }
  }

  #frontend(address: string): string {
    return `${this.#port.protocol} . ${address} . ${this.#port.port}`;
  }

  #add(set: StaticSet, key: string, value = ""): void {
    this.#elements.push({ owner: this.#port.name, set, key, value });
  }

  #refuse(set: StaticSet, key: string): void {
    this.#add(set, key, this.#selected.exists ? "drop" : REJECT);
  }

  /** Leads a frontend to a list of endpoints; to nothing when the list is empty. */
  #lead(frontends: StaticSet, key: string, to: { readonly entry: Entry; readonly list: "cluster" | "local" }): void {
    const endpoints = this.#selected[to.list];
    if (endpoints.length === 0) return;
    if (this.#port.affinitySeconds !== undefined) {
      this.#add(frontends, key, `goto ${this.#stickyChain(to.entry, to.list, endpoints)}`);
      return;
    }
    const { protocol } = this.#port;
    this.#add(frontends, key, `goto ${countedChain(to.entry, protocol, endpoints.length)}`);
    const map = endpointMap(to.entry, protocol);
    const keyWithin = key.slice(`${protocol} . `.length);
    for (const [i, { address, port }] of endpoints.entries()) {
      this.#add(map, `${keyWithin} . ${i}`, `${address} . ${port}`);
    }
  }

  #stickyChain(entry: Entry, list: "cluster" | "local", endpoints: readonly Endpoint[]): string {
    const choosing = this.#choosingChain(list, endpoints);
    const masquerading = masqueradeRules(entry, this.#options);
    if (masquerading.length === 0) return choosing;
    const name = `sticky-${entry.replace("nodeport-", "")}-${this.#hash()}`;
    this.#chains.set(name, { rules: [...masquerading, when([], { kind: "goto", chain: choosing })] });
    return name;
  }

  #choosingChain(list: "cluster" | "local", endpoints: readonly Endpoint[]): string {
    const name = `${list === "cluster" ? "svc" : "svl"}-${this.#hash()}`;
    const chains = endpoints.map((endpoint) => this.#endpointChain(endpoint));
    const remembered = chains.map((chain): NftRule => {
      const match = { kind: "inSet", key: affinitySet.key, is: affinitySetOf(chain) } as const;
      return when([match], { kind: "goto", chain });
    });
    this.#chains.set(name, { rules: [...remembered, when([], { kind: "choose", chains })] });
    return name;
  }

  #endpointChain(endpoint: Endpoint): string {
    const { protocol, affinitySeconds: seconds = 0 } = this.#port;
    const to = joinHostPort(endpoint.address, endpoint.port);
    const name = `ep-${this.#hash(to)}`;
    const set = affinitySetOf(name);
    this.#sets.set(set, affinitySet);
    this.#chains.set(name, {
      rules: [
        when([], { kind: "note", set, seconds }),
        when([{ kind: "protocol", is: protocol }], { kind: "dnat", to }),
      ],
    });
    return name;
  }

  #hash(more = ""): string {
    return hashName(this.#port.name + this.#port.protocol + more, this.#sha256);
  }
}

function affinitySetOf(endpointChain: string): string {
  return endpointChain.replace(/^ep-/, "affinity-");
}

/** Prefixes that lie in no other one: the kernel refuses overlapping ones. Full-length ones as addresses, as it prints. */
function outermost(prefixes: readonly string[]): string[] {
  const canonical = new Set(
    prefixes.flatMap((text) => {
      const prefix = parsePrefix(text);
      if (prefix === undefined) return [];
      const formatted = formatPrefix(prefix);
      return [formatted.replace(familyOf(formatted) === "ipv4" ? /\/32$/ : /\/128$/, "")];
    }),
  );
  const all = [...canonical];
  return all.filter((inner) => !all.some((outer) => outer !== inner && prefixContains(outer, inner)));
}
