/**
 * What IPVS mode has besides its servers: the ipsets and the iptables rules around them, which are the same rules however
 * many Services there are.
 *
 *   to a Service:  nat KUBE-SERVICES marks what must be masqueraded -> the address is local (kube-ipvs0)
 *                  -> filter INPUT: KUBE-IPVS-FILTER, KUBE-PROXY-FIREWALL -> virtual server -> real server
 *                  -> nat KUBE-POSTROUTING masquerades
 *   from the node: nat OUTPUT marks -> virtual server, before filter OUTPUT
 *
 * Source: the names of sets and chains and their order are upstream's (pkg/proxy/ipvs), for the tools that know them.
 * Differs from upstream: KUBE-DROP and KUBE-DROP-EXTERNAL, because a policy Local without an endpoint on this node shall
 * drop as in the other modes, and not refuse or half work. Rules for sets that are empty are written too.
 */
import type { IpFamily } from "@knarr/netfilter/ip.ts";
import type { IpSetType } from "@knarr/netfilter/ip-set.ts";
import {
  accept,
  drop,
  jumpTo,
  orMark,
  type Rule,
  reject,
  returnToCaller,
  type Table,
  xorMark,
} from "@knarr/netfilter/rule.ts";
import type { BaseJump, Ruleset } from "@knarr/netfilter/ruleset.ts";
import { chains } from "../chain-names.ts";
import type { LocalDetector, PlanOptions } from "../plan-service.ts";

/** The dummy interface that has the Services' addresses, so that they are the node's own. */
export const DUMMY_INTERFACE = "kube-ipvs0";

/** All sets, by what is told of them below. */
export const ipvsSets = {
  "LOOP-BACK": "hash:ip,port,ip",
  "CLUSTER-IP": "hash:ip,port",
  "EXTERNAL-IP": "hash:ip,port",
  "EXTERNAL-IP-LOCAL": "hash:ip,port",
  "LOAD-BALANCER": "hash:ip,port",
  "LOAD-BALANCER-LOCAL": "hash:ip,port",
  "LOAD-BALANCER-FW": "hash:ip,port",
  "LOAD-BALANCER-SOURCE-IP": "hash:ip,port,ip",
  "LOAD-BALANCER-SOURCE-CIDR": "hash:ip,port,net",
  "NODE-PORT-TCP": "bitmap:port",
  "NODE-PORT-LOCAL-TCP": "bitmap:port",
  "NODE-PORT-UDP": "bitmap:port",
  "NODE-PORT-LOCAL-UDP": "bitmap:port",
  "NODE-PORT-SCTP-HASH": "hash:ip,port",
  "NODE-PORT-LOCAL-SCTP-HASH": "hash:ip,port",
  "HEALTH-CHECK-NODE-PORT": "bitmap:port",
  "IPVS-IPS": "hash:ip",
  /** Policy Local, and no endpoint here: for everybody, and for what comes from outside. */
  DROP: "hash:ip,port",
  "DROP-EXTERNAL": "hash:ip,port",
} as const satisfies Record<string, IpSetType>;
export type IpvsSet = keyof typeof ipvsSets;

/** The kernel's limit of a set's name. */
const NAME_LENGTH = 31;

/** Both families' sets live side by side. Source: upstream's KUBE-6- prefix, cut where the kernel cuts. */
export function setName(set: IpvsSet, family: IpFamily): string {
  return `${family === "ipv4" ? "KUBE" : "KUBE-6"}-${set}`.slice(0, NAME_LENGTH);
}

/** Whether a set found in the kernel is one of ours, or of upstream's. */
export function isProxySet(name: string): boolean {
  const names = Object.keys(ipvsSets) as IpvsSet[];
  return names.some((set) => name === setName(set, "ipv4") || name === setName(set, "ipv6"));
}

type Conditions = Omit<Rule, "target">;

/** The rules; they need all sets to be there. */
export function ipvsRuleset(options: PlanOptions): Ruleset {
  const { family } = options;
  const inSet = (set: IpvsSet, directions: string): Conditions => ({
    inSet: { is: { name: setName(set, family), directions } },
  });
  return {
    chains: new Map<Table, ReadonlyMap<string, readonly Rule[]>>([
      ["nat", natChains(options, inSet)],
      ["filter", filterChains(options, inSet)],
    ]),
    jumps,
  };
}

type InSet = (set: IpvsSet, directions: string) => Conditions;

function natChains(options: PlanOptions, inSet: InSet): Map<string, readonly Rule[]> {
  const masquerade = jumpTo(chains.markMasquerade);
  const fromHost = { sourceIsLocal: true } as const;
  const loopback = options.family === "ipv4" ? "127.0.0.0/8" : "::1";
  const services: Rule[] = [
    // The kernel translates nothing that comes from loopback.
    { source: { is: loopback }, target: returnToCaller },
    {
      comment: "Kubernetes service lb portal",
      ...inSet("LOAD-BALANCER", "dst,dst"),
      target: jumpTo(chains.loadBalancer),
    },
    {
      comment: "Kubernetes service cluster ip + port for masquerade purpose",
      ...masqueradedClusterIps(options, inSet),
      target: masquerade,
    },
    {
      comment: "Kubernetes service external ip + port for masquerade and filter purpose",
      ...inSet("EXTERNAL-IP", "dst,dst"),
      target: masquerade,
    },
    // The node sends to a Service from the Service's own address, which no other node would answer.
    { ...fromHost, ...inSet("EXTERNAL-IP-LOCAL", "dst,dst"), target: masquerade },
    { destinationIsLocal: true, target: jumpTo(chains.nodePort) },
    { ...inSet("CLUSTER-IP", "dst,dst"), target: accept },
    { ...inSet("LOAD-BALANCER", "dst,dst"), target: accept },
  ];
  const loadBalancer: Rule[] = [
    { ...fromHost, target: masquerade },
    {
      comment: "Kubernetes service load balancer ip + port with externalTrafficPolicy=local",
      ...inSet("LOAD-BALANCER-LOCAL", "dst,dst"),
      target: returnToCaller,
    },
    { target: masquerade },
  ];
  const mark = { value: options.masqueradeMark, mask: options.masqueradeMark };
  const postrouting: Rule[] = [
    {
      comment: "Kubernetes endpoints dst ip:port, source ip for solving hairpin purpose",
      ...inSet("LOOP-BACK", "dst,dst,src"),
      target: { kind: "masquerade", randomFully: false },
    },
    { mark: { is: mark, not: true }, target: returnToCaller },
    { target: xorMark(options.masqueradeMark) },
    {
      comment: "kubernetes service traffic requiring SNAT",
      target: { kind: "masquerade", randomFully: options.randomFully },
    },
  ];
  return new Map<string, readonly Rule[]>([
    [chains.services, services],
    [chains.nodePort, nodePortRules(inSet)],
    [chains.loadBalancer, loadBalancer],
    [chains.postrouting, postrouting],
    [chains.markMasquerade, [{ target: orMark(options.masqueradeMark) }]],
  ]);
}

/** Clients outside the cluster may route the service range to any node, which then forwards for them. */
function masqueradedClusterIps(options: PlanOptions, inSet: InSet): Conditions {
  const { localDetector, masqueradeAll } = options;
  if (masqueradeAll) return inSet("CLUSTER-IP", "dst,dst");
  switch (localDetector.kind) {
    // The node sends to a Service from the Service's own address, which no endpoint could answer.
    case "none":
      return inSet("CLUSTER-IP", "src,dst");
    case "prefix":
      return { source: { is: localDetector.prefix, not: true }, ...inSet("CLUSTER-IP", "dst,dst") };
    case "interface":
      return { inInterface: { is: localDetector.name, not: true }, ...inSet("CLUSTER-IP", "dst,dst") };
    default:
      throw new TypeError(`unknown detector ${JSON.stringify(localDetector satisfies never)}`);
  }
}

function nodePortRules(inSet: InSet): Rule[] {
  const masquerade = jumpTo(chains.markMasquerade);
  const rules: Rule[] = [];
  for (const [protocol, local, all, directions] of [
    ["tcp", "NODE-PORT-LOCAL-TCP", "NODE-PORT-TCP", "dst"],
    ["udp", "NODE-PORT-LOCAL-UDP", "NODE-PORT-UDP", "dst"],
    ["sctp", "NODE-PORT-LOCAL-SCTP-HASH", "NODE-PORT-SCTP-HASH", "dst,dst"],
  ] as const) {
    const name = protocol.toUpperCase();
    rules.push(
      { protocol, sourceIsLocal: true, ...inSet(local, directions), target: masquerade },
      {
        protocol,
        comment: `Kubernetes nodeport ${name} port with externalTrafficPolicy=local`,
        ...inSet(local, directions),
        target: returnToCaller,
      },
      {
        protocol,
        comment: `Kubernetes nodeport ${name} port for masquerade purpose`,
        ...inSet(all, directions),
        target: masquerade,
      },
    );
  }
  return rules;
}

function filterChains(options: PlanOptions, inSet: InSet): Map<string, readonly Rule[]> {
  const mark = { value: options.masqueradeMark, mask: options.masqueradeMark };
  const known: readonly IpvsSet[] = ["LOAD-BALANCER", "CLUSTER-IP", "EXTERNAL-IP", "EXTERNAL-IP-LOCAL"];
  // What the node itself serves must not be reached through a Service's address. Source: kubernetes issue 72236
  const ipvsFilter: Rule[] = [
    ...known.map((set): Rule => ({ ...inSet(set, "dst,dst"), target: returnToCaller })),
    { ...inSet("HEALTH-CHECK-NODE-PORT", "dst"), target: returnToCaller },
    { conntrack: { is: ["NEW"] }, ...inSet("IPVS-IPS", "dst"), target: reject },
  ];
  const firewall: Rule[] = [
    {
      comment: "Kubernetes service load balancer ip + port for load balancer with sourceRange",
      ...inSet("LOAD-BALANCER-FW", "dst,dst"),
      target: jumpTo(chains.sourceRangesFirewall),
    },
    { ...inSet("DROP", "dst,dst"), target: drop },
    { ...inSet("DROP-EXTERNAL", "dst,dst"), target: jumpTo(chains.dropExternal) },
  ];
  const sourceRanges: Rule[] = [
    {
      comment: "Kubernetes service load balancer ip + port + source cidr for packet filter",
      ...inSet("LOAD-BALANCER-SOURCE-CIDR", "dst,dst,src"),
      target: returnToCaller,
    },
    {
      comment: "Kubernetes service load balancer ip + port + source IP for packet filter purpose",
      ...inSet("LOAD-BALANCER-SOURCE-IP", "dst,dst,src"),
      target: returnToCaller,
    },
    { target: drop },
  ];
  const local = fromLocalPods(options.localDetector);
  const dropExternal: Rule[] = [
    ...(local === undefined ? [] : [{ ...local, target: returnToCaller }]),
    { sourceIsLocal: true, target: returnToCaller },
    { target: drop },
  ];
  return new Map<string, readonly Rule[]>([
    [
      chains.forward,
      [
        { comment: "kubernetes forwarding rules", mark: { is: mark }, target: accept },
        {
          comment: "kubernetes forwarding conntrack rule",
          conntrack: { is: ["RELATED", "ESTABLISHED"] },
          target: accept,
        },
      ],
    ],
    [
      chains.nodePort,
      [
        {
          comment: "Kubernetes health check node port",
          ...inSet("HEALTH-CHECK-NODE-PORT", "dst"),
          target: accept,
        },
      ],
    ],
    [chains.proxyFirewall, firewall],
    [chains.sourceRangesFirewall, sourceRanges],
    [chains.dropExternal, dropExternal],
    [chains.ipvsFilter, ipvsFilter],
    [chains.canary, []],
  ]);
}

function fromLocalPods(detector: LocalDetector): Conditions | undefined {
  switch (detector.kind) {
    case "none":
      return undefined;
    case "prefix":
      return { source: { is: detector.prefix } };
    case "interface":
      return { inInterface: { is: detector.name } };
    default:
      throw new TypeError(`unknown detector ${JSON.stringify(detector satisfies never)}`);
  }
}

function jump(table: Table, from: string, comment: string, to: string): BaseJump {
  return { table, from, place: "first", rule: { comment, target: jumpTo(to) } };
}

/** In the order in which they stand in the built-in chains. */
const jumps: readonly BaseJump[] = [
  jump("nat", "PREROUTING", "kubernetes service portals", chains.services),
  jump("nat", "OUTPUT", "kubernetes service portals", chains.services),
  jump("nat", "POSTROUTING", "kubernetes postrouting rules", chains.postrouting),
  jump("filter", "INPUT", "kubernetes ipvs access filter", chains.ipvsFilter),
  jump("filter", "INPUT", "kube-proxy firewall rules", chains.proxyFirewall),
  jump("filter", "INPUT", "kubernetes health check rules", chains.nodePort),
  jump("filter", "FORWARD", "kube-proxy firewall rules", chains.proxyFirewall),
  jump("filter", "FORWARD", "kubernetes forwarding rules", chains.forward),
];
