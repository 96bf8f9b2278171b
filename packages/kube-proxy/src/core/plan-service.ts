/**
 * The rules of one Service port: what it adds to the shared chains, and the chains of its own.
 *
 *   KUBE-SERVICES --cluster IP--------------------------> KUBE-SVC (or KUBE-SVL) --random--> KUBE-SEP --> DNAT
 *                 --external IP, balancer IP, node port--> [KUBE-FW] -> KUBE-EXT -^
 *
 * Source: upstream's chain structure, which tools and people know; kubernetes.io/docs/reference/networking/virtual-ips
 */
import { type IpFamily, joinHostPort, prefixContains } from "@knarr/netfilter/ip.ts";
import { accept, drop, jumpTo, type Rule, reject } from "@knarr/netfilter/rule.ts";
import { chains, chainsOf, type ServiceChains, type Sha256 } from "./chain-names.ts";
import { type SelectedEndpoints, selectEndpoints, type Topology } from "./select-endpoints.ts";
import { type Endpoint, isExternallyAccessible, type ServicePort } from "./service-port.ts";

/** How the node tells its own pods' traffic from the rest: part of a rule, or its opposite. */
export type LocalDetector =
  | { readonly kind: "none" }
  | { readonly kind: "prefix"; readonly prefix: string }
  /** A name, or with a trailing "+" the beginning of one. */
  | { readonly kind: "interface"; readonly name: string };

export interface PlanOptions extends Topology {
  readonly family: IpFamily;
  readonly nodeIps: readonly string[];
  readonly localDetector: LocalDetector;
  readonly masqueradeAll: boolean;
  /** The bit that marks packets for masquerading. */
  readonly masqueradeMark: number;
  readonly randomFully: boolean;
  readonly localhostNodePorts: boolean;
  /** The only addresses on which node ports answer; undefined is every address of the node. */
  readonly nodePortIps: readonly string[] | undefined;
  /** Invalid packets are dropped unless the kernel takes them liberally. */
  readonly dropInvalid: boolean;
}

export interface ServicePlan {
  readonly natServices: readonly Rule[];
  readonly natNodePorts: readonly Rule[];
  readonly filterServices: readonly Rule[];
  readonly filterExternal: readonly Rule[];
  readonly filterNodePorts: readonly Rule[];
  readonly filterFirewall: readonly Rule[];
  /** The nat chains that belong to this port alone. */
  readonly ownChains: ReadonlyMap<string, readonly Rule[]>;
  /** Policies (internal, external) that are Local while this node has no endpoint and others have. */
  readonly withoutLocal: { readonly internal: boolean; readonly external: boolean };
}

export interface ServicePlanInput {
  readonly port: ServicePort;
  readonly endpoints: readonly Endpoint[];
  readonly options: PlanOptions;
  /** Comments in the port's own chains; left out in large clusters to keep the rules small. */
  readonly comments: boolean;
  readonly sha256: Sha256;
}

type Draft = { readonly [K in Exclude<keyof ServicePlan, "ownChains" | "withoutLocal">]: Rule[] } & {
  readonly ownChains: Map<string, readonly Rule[]>;
};

interface Scope extends ServicePlanInput {
  readonly selected: SelectedEndpoints;
  readonly names: ServiceChains;
  readonly hasInternal: boolean;
  readonly hasExternal: boolean;
}

export function planService(input: ServicePlanInput): ServicePlan {
  const { port } = input;
  const selected = selectEndpoints(port, input.endpoints, input.options);
  const scope: Scope = {
    ...input,
    selected,
    names: chainsOf(port, input.sha256),
    hasInternal: selected.exists && !(port.internalLocal && selected.local.length === 0),
    hasExternal: selected.exists && !(port.externalLocal && selected.local.length === 0),
  };
  const draft: Draft = {
    natServices: [],
    natNodePorts: [],
    filterServices: [],
    filterExternal: [],
    filterNodePorts: [],
    filterFirewall: [],
    ownChains: new Map(),
  };
  addFrontends(scope, draft);
  addExternalChains(scope, draft);
  addPolicyChains(scope, draft);
  return {
    ...draft,
    withoutLocal: {
      internal: selected.exists && !scope.hasInternal,
      external: selected.exists && !scope.hasExternal,
    },
  };
}

/** The rules that catch the Service's addresses in the shared chains. */
function addFrontends(scope: Scope, draft: Draft): void {
  const { port, names, selected } = scope;
  const to = (address: string, comment: string, target: Rule["target"], destinationPort = port.port): Rule => ({
    destination: { is: address },
    protocol: port.protocol,
    comment,
    destinationPort,
    target,
  });
  const refusal = selected.exists
    ? { target: drop, comment: `${port.name} has no local endpoints` }
    : { target: reject, comment: `${port.name} has no endpoints` };
  if (scope.hasInternal) {
    draft.natServices.push(to(port.clusterIp, `${port.name} cluster IP`, jumpTo(internalChain(scope))));
  } else {
    draft.filterServices.push(to(port.clusterIp, refusal.comment, refusal.target));
  }
  const guarded = usesFirewall(scope);
  const external: readonly [addresses: readonly string[], what: string, chain: string][] = [
    [port.externalIps, "external IP", names.external],
    [port.loadBalancerIps, "loadbalancer IP", guarded ? names.firewall : names.external],
  ];
  for (const [addresses, what, chain] of external) {
    for (const address of addresses) {
      if (selected.exists) draft.natServices.push(to(address, `${port.name} ${what}`, jumpTo(chain)));
      if (!scope.hasExternal) draft.filterExternal.push(to(address, refusal.comment, refusal.target));
    }
  }
  if (guarded) {
    for (const address of port.loadBalancerIps) {
      draft.filterFirewall.push(to(address, `${port.name} traffic not accepted by ${names.firewall}`, drop));
    }
  }
  if (port.nodePort !== 0) {
    const nodePort = { protocol: port.protocol, destinationPort: port.nodePort };
    if (selected.exists) draft.natNodePorts.push({ ...nodePort, comment: port.name, target: jumpTo(names.external) });
    if (!scope.hasExternal) {
      const { comment, target } = refusal;
      draft.filterExternal.push({ ...nodePort, comment, destinationIsLocal: true, target });
    }
  }
  if (port.healthCheckNodePort !== 0) {
    draft.filterNodePorts.push({
      protocol: "tcp",
      destinationPort: port.healthCheckNodePort,
      comment: `${port.name} health check node port`,
      target: accept,
    });
  }
}

function internalChain(scope: Scope): string {
  return scope.port.internalLocal ? scope.names.local : scope.names.cluster;
}

function usesFirewall(scope: Scope): boolean {
  return scope.selected.exists && scope.port.loadBalancerIps.length > 0 && scope.port.sourceRanges.length > 0;
}

/** KUBE-EXT, through which all external addresses go, and KUBE-FW in front of it when only some sources may enter. */
function addExternalChains(scope: Scope, draft: Draft): void {
  const { port, names, options, selected } = scope;
  if (!selected.exists || !isExternallyAccessible(port)) return;
  const what = `${port.name} external destinations`;
  const rules: Rule[] = [];
  if (!port.externalLocal) {
    // The endpoint may be on another node, whose answer must come back through this one.
    rules.push({ comment: `masquerade traffic for ${what}`, target: jumpTo(chains.markMasquerade) });
  } else if (selected.cluster.length > 0) {
    // Pods and the node itself are inside: for them the policy Local does not hold, and all endpoints serve.
    if (options.localDetector.kind !== "none") {
      rules.push({
        ...fromLocalPods(options.localDetector, true),
        comment: `pod traffic for ${what}`,
        target: jumpTo(names.cluster),
      });
    }
    const fromHost = { sourceIsLocal: true } as const;
    rules.push({
      ...fromHost,
      comment: `masquerade LOCAL traffic for ${what}`,
      target: jumpTo(chains.markMasquerade),
    });
    rules.push({ ...fromHost, comment: `route LOCAL traffic for ${what}`, target: jumpTo(names.cluster) });
  }
  if (scope.hasExternal) rules.push({ target: jumpTo(port.externalLocal ? names.local : names.cluster) });
  draft.ownChains.set(names.external, rules);
  if (!usesFirewall(scope)) return;
  const comment = `${port.name} loadbalancer IP`;
  const allow = (source: string): Rule => ({ source: { is: source }, comment, target: jumpTo(names.external) });
  const firewall = port.sourceRanges.map(allow);
  // The node itself sends to a balancer address from that very address, when the address is bound to the node.
  if (options.nodeIps.some((ip) => port.sourceRanges.some((range) => prefixContains(range, ip)))) {
    firewall.push(...port.loadBalancerIps.map(allow));
  }
  firewall.push({
    comment: `other traffic to ${port.name} will be dropped by ${chains.proxyFirewall}`,
    target: { kind: "none" },
  });
  draft.ownChains.set(names.firewall, firewall);
}

/** KUBE-SVC and KUBE-SVL, which choose an endpoint, and one KUBE-SEP per endpoint, which translates. */
function addPolicyChains(scope: Scope, draft: Draft): void {
  const { port, names, options, selected } = scope;
  const masquerade: Rule[] = [];
  if (scope.hasInternal && (options.masqueradeAll || options.localDetector.kind !== "none")) {
    // Clients outside the cluster may route the service range to any node, which then forwards for them.
    masquerade.push({
      ...(options.masqueradeAll ? {} : fromLocalPods(options.localDetector, false)),
      destination: { is: port.clusterIp },
      protocol: port.protocol,
      comment: `${port.name} cluster IP`,
      destinationPort: port.port,
      target: jumpTo(chains.markMasquerade),
    });
  }
  for (const [chain, endpoints] of [
    [names.cluster, selected.cluster],
    [names.local, selected.local],
  ] as const) {
    if (endpoints.length === 0) continue;
    const first = chain === internalChain(scope) ? masquerade : [];
    draft.ownChains.set(chain, [...first, ...chooseEndpoint(scope, endpoints)]);
  }
  for (const endpoint of selected.reachable) {
    const chain = names.endpoint(endpoint);
    const comment = scope.comments ? { comment: port.name } : {};
    draft.ownChains.set(chain, [
      // Hairpin: a pod that reaches itself through the Service must see another source, or it would answer directly.
      { ...comment, source: { is: endpoint.address }, target: jumpTo(chains.markMasquerade) },
      {
        ...comment,
        protocol: port.protocol,
        ...(port.affinitySeconds === undefined ? {} : { recent: { kind: "set", name: chain } as const }),
        target: { kind: "dnat", to: joinHostPort(endpoint.address, endpoint.port) },
      },
    ]);
  }
}

function chooseEndpoint(scope: Scope, endpoints: readonly Endpoint[]): Rule[] {
  const { port, names } = scope;
  const commentOf = (endpoint: Endpoint) =>
    scope.comments ? { comment: `${port.name} -> ${joinHostPort(endpoint.address, endpoint.port)}` } : {};
  const sticky = (endpoint: Endpoint, seconds: number): Rule => {
    const chain = names.endpoint(endpoint);
    return { ...commentOf(endpoint), recent: { kind: "check", name: chain, seconds }, target: jumpTo(chain) };
  };
  const { affinitySeconds } = port;
  const remembered = affinitySeconds === undefined ? [] : endpoints.map((e) => sticky(e, affinitySeconds));
  // Of n endpoints the first takes one packet in n, the next one in n-1 of the rest, the last what remains.
  const chosen = endpoints.map((endpoint, i): Rule => {
    const left = endpoints.length - i;
    return {
      ...commentOf(endpoint),
      ...(left > 1 ? { oneIn: left } : {}),
      target: jumpTo(names.endpoint(endpoint)),
    };
  });
  return [...remembered, ...chosen];
}

/** The conditions under which a packet comes from this node's pods (or, with `yes` false, does not). */
function fromLocalPods(detector: LocalDetector, yes: boolean): Pick<Rule, "source" | "inInterface"> {
  const negation = yes ? {} : { not: true };
  switch (detector.kind) {
    case "none":
      return {};
    case "prefix":
      return { source: { is: detector.prefix, ...negation } };
    case "interface":
      return { inInterface: { is: detector.name, ...negation } };
    default:
      throw new TypeError(`unknown detector ${JSON.stringify(detector satisfies never)}`);
  }
}
