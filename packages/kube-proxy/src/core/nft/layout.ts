/**
 * The nftables table of kube-proxy: which maps, sets and chains there are, whatever the number of Services. A Service is
 * only elements:
 *
 *   service-ips     tcp . 10.96.0.10 . 53 : goto cluster-tcp-2      its cluster IP, which has two endpoints
 *   endpoints-tcp   10.96.0.10 . 53 . 0 : 10.244.0.5 . 53           the first of them
 *   endpoints-tcp   10.96.0.10 . 53 . 1 : 10.244.1.7 . 53           the second
 *
 * and chain cluster-tcp-2, shared by all Services with two endpoints, draws 0 or 1 and translates to what that map holds.
 * So the number of rules grows with the different numbers of endpoints, not with Services; only session affinity, whose
 * memory nft can't index by Service (versions up to 1.0.6 abort on long keys), has chains and sets of its own.
 */
import type { NftChain, NftKey, NftMatch, NftRule, NftSet } from "@knarr/netfilter/nft-rule.ts";
import { when } from "@knarr/netfilter/nft-rule.ts";
import type { Protocol } from "@knarr/netfilter/rule.ts";
import type { LocalDetector, PlanOptions } from "../plan-service.ts";

/** Upstream's name, so that either finds and replaces the other's. */
export const TABLE = "kube-proxy";
/** Clients that one endpoint's set remembers at most; beyond it new clients are spread at random. */
const AFFINITY_CLIENTS = 65_536;

const frontend: NftKey = ["protocol", "destination", "destinationPort"];
const nodePort: NftKey = ["protocol", "destinationPort"];

const verdicts = (key: NftKey): NftSet => ({ key, data: "verdict" });
/** Per protocol: what nft can't know of a map for several it would have to be told in every rule. */
const endpointsByIp = (data: Protocol): NftSet => ({ key: ["destination", "destinationPort", "index"], data });
const endpointsByNodePort = (data: Protocol): NftSet => ({ key: ["destinationPort", "index"], data });

export const staticSets = {
  /** Cluster IPs, to refuse the ports that no Service has there. */
  "cluster-ips": { key: ["destination"] },
  "service-ips": verdicts(frontend),
  "external-ips": verdicts(frontend),
  nodeports: verdicts(nodePort),
  /** Of external addresses under policy Local: where pods and the node itself go, for whom the policy does not hold. */
  "inside-ips": verdicts(frontend),
  "inside-nodeports": verdicts(nodePort),
  "endpoints-tcp": endpointsByIp("tcp"),
  "endpoints-udp": endpointsByIp("udp"),
  "endpoints-sctp": endpointsByIp("sctp"),
  "local-endpoints-tcp": endpointsByIp("tcp"),
  "local-endpoints-udp": endpointsByIp("udp"),
  "local-endpoints-sctp": endpointsByIp("sctp"),
  "nodeport-endpoints-tcp": endpointsByNodePort("tcp"),
  "nodeport-endpoints-udp": endpointsByNodePort("udp"),
  "nodeport-endpoints-sctp": endpointsByNodePort("sctp"),
  "nodeport-local-endpoints-tcp": endpointsByNodePort("tcp"),
  "nodeport-local-endpoints-udp": endpointsByNodePort("udp"),
  "nodeport-local-endpoints-sctp": endpointsByNodePort("sctp"),
  "no-endpoint-ips": verdicts(frontend),
  "no-endpoint-nodeports": verdicts(nodePort),
  /** The node's addresses on which node ports answer, where these are limited. */
  "nodeport-ips": { key: ["destination"] },
  "firewall-ips": { key: frontend },
  "firewall-sources": { key: [...frontend, "source"], interval: true },
  /** This node's endpoints, which may reach themselves through a Service. */
  hairpin: { key: ["source", "destination"] },
} as const satisfies Readonly<Record<string, NftSet>>;
export type StaticSet = keyof typeof staticSets;

/** The set of clients that an endpoint of a Service with affinity keeps. */
export const affinitySet: NftSet = { key: ["source"], dynamicSize: AFFINITY_CLIENTS };

/** How traffic enters a chain that chooses among N endpoints: decides masquerading and the map of the endpoints. */
export type Entry =
  | "cluster"
  | "external"
  | "inside"
  | "local"
  | "nodeport-external"
  | "nodeport-inside"
  | "nodeport-local";

export function isFrom(detector: LocalDetector, yes: boolean): NftMatch | undefined {
  const negation = yes ? {} : { not: true };
  switch (detector.kind) {
    case "none":
      return undefined;
    case "prefix":
      return { kind: "source", is: detector.prefix, ...negation };
    case "interface":
      return { kind: "inInterface", is: detector.name.replace(/\+$/, "*"), ...negation };
    default:
      throw new TypeError(`unknown detector ${JSON.stringify(detector satisfies never)}`);
  }
}

const markForMasquerade = { kind: "jump", chain: "mark-for-masquerade" } as const;

/** The rules that mark for masquerading what enters this way and needs it. */
export function masqueradeRules(entry: Entry, options: PlanOptions): NftRule[] {
  const fromElsewhere = isFrom(options.localDetector, false);
  switch (entry) {
    case "cluster":
      if (options.masqueradeAll) return [when([], markForMasquerade)];
      return fromElsewhere === undefined ? [] : [when([fromElsewhere], markForMasquerade)];
    case "external":
    case "nodeport-external":
      // The endpoint may be on another node, whose answer must come back through this one.
      return [when([], markForMasquerade)];
    case "inside":
    case "nodeport-inside":
      return [when(fromElsewhere === undefined ? [] : [fromElsewhere], markForMasquerade)];
    case "local":
    case "nodeport-local":
      return [];
    default:
      throw new TypeError(`unknown entry ${JSON.stringify(entry satisfies never)}`);
  }
}

const entryMaps = {
  cluster: "endpoints",
  external: "endpoints",
  inside: "endpoints",
  local: "local-endpoints",
  "nodeport-external": "nodeport-endpoints",
  "nodeport-inside": "nodeport-endpoints",
  "nodeport-local": "nodeport-local-endpoints",
} as const satisfies Readonly<Record<Entry, string>>;

/** The map in which an entry finds its endpoints. */
export function endpointMap(entry: Entry, protocol: Protocol): StaticSet {
  return `${entryMaps[entry]}-${protocol}`;
}

/** The chain of an entry for so many endpoints. */
export function countedChain(entry: Entry, protocol: Protocol, count: number): string {
  return `${entry}-${protocol}-${count}`;
}

/** The content of a chain named by `countedChain`; undefined for other names. */
export function countedChainContent(name: string, options: PlanOptions): NftChain | undefined {
  const [, entry, protocol, count] = /^([a-z-]+)-(tcp|udp|sctp)-(\d+)$/.exec(name) ?? [];
  if (entry === undefined || !(entry in entryMaps)) return undefined;
  const map = endpointMap(entry as Entry, protocol as Protocol);
  const action = { kind: "translate", key: staticSets[map].key, map, choices: Number(count) } as const;
  const translate = when([], { ...action, protocol: protocol as Protocol });
  // A packet that was led here while the Service lost endpoints may draw one that is gone: the first is there if any is.
  const first = when([], { ...action, choices: 1, protocol: protocol as Protocol });
  const rules = [...masqueradeRules(entry as Entry, options), translate];
  return { rules: Number(count) > 1 ? [...rules, first] : rules };
}

/** What `no-endpoint-ips` leads to when nothing could ever answer. */
export const REJECT = "goto refuse";

const isNew = { kind: "state", is: "new" } as const;
const lookUp = (map: StaticSet) => ({ kind: "lookUp", key: staticSets[map].key, map }) as const;
const jump = (chain: string) => ({ kind: "jump", chain }) as const;
const inSet = (is: StaticSet, not = false) =>
  ({ kind: "inSet", key: staticSets[is].key, is, ...(not ? { not } : {}) }) as const;

/** Where a packet to a node port may be going. */
function nodePortMatches(options: PlanOptions): NftMatch[] {
  if (options.nodePortIps !== undefined) return [inSet("nodeport-ips")];
  // Differs from iptables: no node ports on loopback, which would need route_localnet. Source: KEP-3866
  const loopback = options.family === "ipv4" ? "127.0.0.0/8" : "::1";
  return [{ kind: "destinationIsLocal" }, { kind: "destination", is: loopback, not: true }];
}

/** Priorities: before translation for what asks for the packet's own destination, filter for what comes after it. */
export function staticChains(options: PlanOptions): Map<string, NftChain> {
  const fromPods = isFrom(options.localDetector, true);
  const mask = options.masqueradeMark;
  const inside = (map: StaticSet) => [
    ...(fromPods === undefined ? [] : [when([fromPods], lookUp(map))]),
    when([{ kind: "sourceIsLocal" }], lookUp(map)),
  ];
  const firewall = [when([isNew], jump("firewall-check"))];
  const unanswered = when([isNew], jump("endpoints-check"));
  const invalid = when([{ kind: "state", is: "invalid" }], { kind: "drop" });
  return new Map<string, NftChain>([
    ["mark-for-masquerade", { rules: [when([], { kind: "mark", how: "set", mask })] }],
    ["refuse", { rules: [when([], { kind: "reject" })] }],
    ["firewall-check", { rules: [when([inSet("firewall-ips"), inSet("firewall-sources", true)], { kind: "drop" })] }],
    [
      "endpoints-check",
      { rules: [when([], lookUp("no-endpoint-ips")), when([inSet("cluster-ips")], { kind: "reject" })] },
    ],
    ["nodeports", { rules: [...inside("inside-nodeports"), when([], lookUp("nodeports"))] }],
    [
      "services",
      {
        rules: [
          when([], lookUp("service-ips")),
          ...inside("inside-ips"),
          when([], lookUp("external-ips")),
          when(nodePortMatches(options), { kind: "goto", chain: "nodeports" }),
        ],
      },
    ],
    ["firewall-prerouting", { hook: { type: "filter", hook: "prerouting", priority: -110 }, rules: firewall }],
    ["firewall-output", { hook: { type: "filter", hook: "output", priority: -110 }, rules: firewall }],
    [
      "nat-prerouting",
      { hook: { type: "nat", hook: "prerouting", priority: -100 }, rules: [when([], jump("services"))] },
    ],
    ["nat-output", { hook: { type: "nat", hook: "output", priority: -100 }, rules: [when([], jump("services"))] }],
    [
      "filter-input",
      {
        hook: { type: "filter", hook: "input", priority: 0 },
        rules: [when([isNew, ...nodePortMatches(options)], lookUp("no-endpoint-nodeports")), unanswered],
      },
    ],
    [
      "filter-forward",
      {
        hook: { type: "filter", hook: "forward", priority: 0 },
        // An out-of-window segment that slips through untranslated would make the client reset the connection.
        rules: [...(options.dropInvalid ? [invalid] : []), unanswered],
      },
    ],
    ["filter-output", { hook: { type: "filter", hook: "output", priority: 0 }, rules: [unanswered] }],
    [
      "nat-postrouting",
      {
        hook: { type: "nat", hook: "postrouting", priority: 100 },
        rules: [
          // A pod that reaches itself through a Service must see another source, or it would answer directly.
          when([inSet("hairpin")], { kind: "masquerade" }),
          when([{ kind: "mark", mask, is: "set", not: true }], { kind: "return" }),
          // Cleared, so that a packet that comes through the stack again is judged anew.
          when([], { kind: "mark", how: "flip", mask }),
          when([], { kind: "masquerade" }),
        ],
      },
    ],
  ]);
}
