/**
 * kube-proxy's flags and the one Config made of them: upstream's names and defaults.
 * Source: kubernetes.io/docs/reference/command-line-tools-reference/kube-proxy
 */
import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import {
  boolFlag,
  durationFlag,
  type FlagValues,
  intFlag,
  listFlag,
  parseFlags,
  stringFlag,
  UsageError,
} from "@knarr/daemon/flags.ts";
import { familyOf, type IpFamily, parsePrefix } from "@knarr/netfilter/ip.ts";
import { type ProxyMode, proxyModes } from "./adapters/backend.ts";
import { configFileFlags } from "./config-file.ts";

export const flags = {
  config: stringFlag({ help: "a KubeProxyConfiguration file, which replaces all other flags", placeholder: "path" }),
  kubeconfig: stringFlag({ help: "path to the kubeconfig file with the API server's address", placeholder: "path" }),
  master: stringFlag({ help: "the API server's URL, instead of the kubeconfig's" }),
  hostnameOverride: stringFlag({ help: "this node's name, instead of the host name" }),
  proxyMode: stringFlag({
    help: "how Services are implemented; nftables where kernel and nft can do it when empty, iptables elsewhere",
    default: "",
    oneOf: ["", ...proxyModes],
  }),
  clusterCidr: stringFlag({ help: "range of the cluster's pods, or an IPv4 and an IPv6 range with a comma" }),
  detectLocalMode: stringFlag({
    help: "how to tell local pods' traffic",
    default: "",
    oneOf: ["", "ClusterCIDR", "NodeCIDR", "BridgeInterface", "InterfaceNamePrefix"],
  }),
  podBridgeInterface: stringFlag({ help: "the pods' bridge, for --detect-local-mode=BridgeInterface" }),
  podInterfaceNamePrefix: stringFlag({
    help: "beginning of the pods' interface names, for --detect-local-mode=InterfaceNamePrefix",
  }),
  healthzBindAddress: stringFlag({ help: "address and port of /healthz; empty disables it", default: "0.0.0.0:10256" }),
  metricsBindAddress: stringFlag({
    help: "address and port of /metrics; empty disables it",
    default: "127.0.0.1:10249",
  }),
  nodeportAddresses: listFlag({
    help: 'CIDRs of the addresses on which node ports answer, or "primary"; all when empty',
    placeholder: "cidrs",
  }),
  masqueradeAll: boolFlag({ help: "masquerade all traffic to Services' cluster IPs", default: false }),
  iptablesMasqueradeBit: intFlag({
    help: "bit of the packet mark that asks for masquerading",
    default: 14,
    min: 0,
    max: 31,
  }),
  iptablesLocalhostNodeports: boolFlag({ help: "let node ports answer on 127.0.0.1", default: true }),
  iptablesSyncPeriodMs: durationFlag({
    help: "how often the rules in the kernel are compared and repaired",
    default: "30s",
  }),
  // Differs from upstream: 0s instead of 1s, because a sync here writes only the chains that changed.
  iptablesMinSyncPeriodMs: durationFlag({ help: "the least time between two syncs", default: "0s" }),
  ipvsScheduler: stringFlag({ help: "how IPVS chooses an endpoint: rr, lc, sh, wrr, wlc, ...; rr when empty" }),
  ipvsExcludeCidrs: listFlag({ help: "addresses of virtual servers that are not kube-proxy's", placeholder: "cidrs" }),
  ipvsStrictArp: boolFlag({ help: "answer ARP for no address of kube-ipvs0", default: false }),
  ipvsSyncPeriodMs: durationFlag({ help: "how often IPVS is compared and repaired, in mode ipvs", default: "30s" }),
  ipvsMinSyncPeriodMs: durationFlag({ help: "the least time between two syncs in mode ipvs", default: "0s" }),
  ipvsTcpTimeoutMs: durationFlag({ help: "idle time of TCP connections in IPVS (0 leaves it)", default: "0s" }),
  ipvsTcpfinTimeoutMs: durationFlag({ help: "time of TCP after a FIN in IPVS (0 leaves it)", default: "0s" }),
  ipvsUdpTimeoutMs: durationFlag({ help: "idle time of UDP in IPVS (0 leaves it)", default: "0s" }),
  conntrackMaxPerCore: intFlag({ help: "connections to track per CPU (0 leaves the limit)", default: 32768, min: 0 }),
  conntrackMin: intFlag({ help: "connections to track at least", default: 131072, min: 0 }),
  conntrackTcpTimeoutEstablishedMs: durationFlag({
    help: "idle time of established TCP (0 leaves it)",
    default: "24h",
  }),
  conntrackTcpTimeoutCloseWaitMs: durationFlag({ help: "time of TCP in CLOSE_WAIT (0 leaves it)", default: "1h" }),
  conntrackTcpBeLiberal: boolFlag({ help: "track TCP packets that are out of window", default: false }),
  cleanup: boolFlag({ help: "remove all rules that kube-proxy made, and exit", default: false }),
} as const;

/** Upstream's flags that have nothing to act on here. */
export const ignored = [
  "--bind-address",
  "--bind-address-hard-fail",
  "--config-sync-period",
  "--conntrack-udp-timeout",
  "--conntrack-udp-timeout-stream",
  "--init-only",
  "--kube-api-burst",
  "--kube-api-content-type",
  "--kube-api-qps",
  "--oom-score-adj",
  "--proxy-port-range",
  "--show-hidden-metrics-for-version",
] as const;

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

export type DetectLocal =
  | { readonly kind: "clusterCidr"; readonly prefixes: Readonly<Partial<Record<IpFamily, string>>> }
  | { readonly kind: "nodeCidr" }
  | { readonly kind: "interface"; readonly name: string };

export interface Config {
  /** undefined for the best that works here. */
  readonly proxyMode: ProxyMode | undefined;
  readonly kubeconfig: string;
  readonly master: string;
  readonly nodeName: string;
  readonly detectLocal: DetectLocal;
  readonly healthz: HostPort | undefined;
  readonly metrics: HostPort | undefined;
  /** Prefixes; undefined for all addresses; "primary" for the node's own InternalIPs. */
  readonly nodePortAddresses: readonly string[] | "primary" | undefined;
  readonly masqueradeAll: boolean;
  readonly masqueradeMark: number;
  readonly localhostNodePorts: boolean;
  readonly syncPeriodMs: number;
  readonly minSyncPeriodMs: number;
  readonly ipvs: {
    readonly scheduler: string;
    readonly excludeCidrs: readonly string[];
    readonly strictArp: boolean;
    readonly tcpTimeoutMs: number;
    readonly tcpFinTimeoutMs: number;
    readonly udpTimeoutMs: number;
  };
  readonly conntrack: {
    readonly maxPerCore: number;
    readonly min: number;
    readonly tcpEstablishedMs: number;
    readonly tcpCloseWaitMs: number;
    readonly tcpBeLiberal: boolean;
  };
  readonly cleanup: boolean;
}

/** Reads --config if it is given. Throws UsageError naming the flag. */
export function loadConfig(given: FlagValues<typeof flags>): Config {
  const values = given.config === "" ? given : { ...valuesOfFile(given.config), ...overriding(given) };
  const ipvs = values.proxyMode === "ipvs";
  for (const period of ["iptablesSyncPeriodMs", "ipvsSyncPeriodMs"] as const) {
    if (values[period] > 0) continue;
    throw new UsageError(`--${period === "ipvsSyncPeriodMs" ? "ipvs" : "iptables"}-sync-period must be greater than 0`);
  }
  return Object.freeze({
    proxyMode: values.proxyMode === "" ? undefined : (values.proxyMode as ProxyMode),
    kubeconfig: values.kubeconfig,
    master: values.master,
    nodeName: (values.hostnameOverride.trim() || hostname()).toLowerCase(),
    detectLocal: detectLocalOf(values),
    healthz: parseHostPort("--healthz-bind-address", values.healthzBindAddress, 10256),
    metrics: parseHostPort("--metrics-bind-address", values.metricsBindAddress, 10249),
    nodePortAddresses: nodePortAddressesOf(values.nodeportAddresses),
    masqueradeAll: values.masqueradeAll,
    masqueradeMark: 2 ** values.iptablesMasqueradeBit,
    localhostNodePorts: values.iptablesLocalhostNodeports,
    syncPeriodMs: ipvs ? values.ipvsSyncPeriodMs : values.iptablesSyncPeriodMs,
    minSyncPeriodMs: ipvs ? values.ipvsMinSyncPeriodMs : values.iptablesMinSyncPeriodMs,
    ipvs: ipvsOf(values),
    conntrack: {
      maxPerCore: values.conntrackMaxPerCore,
      min: values.conntrackMin,
      tcpEstablishedMs: values.conntrackTcpTimeoutEstablishedMs,
      tcpCloseWaitMs: values.conntrackTcpTimeoutCloseWaitMs,
      tcpBeLiberal: values.conntrackTcpBeLiberal,
    },
    cleanup: values.cleanup,
  });
}

function ipvsOf(values: FlagValues<typeof flags>): Config["ipvs"] {
  for (const value of values.ipvsExcludeCidrs) {
    if (value.includes("/") && parsePrefix(value) !== undefined) continue;
    throw new UsageError(`invalid value ${JSON.stringify(value)} for --ipvs-exclude-cidrs: must be CIDRs`);
  }
  // It becomes a word of a command, so nothing but a scheduler's name may pass.
  if (!/^[a-z0-9-]*$/.test(values.ipvsScheduler)) {
    throw new UsageError(`invalid value ${JSON.stringify(values.ipvsScheduler)} for --ipvs-scheduler: must be a name`);
  }
  return {
    scheduler: values.ipvsScheduler || "rr",
    excludeCidrs: values.ipvsExcludeCidrs,
    strictArp: values.ipvsStrictArp,
    tcpTimeoutMs: values.ipvsTcpTimeoutMs,
    tcpFinTimeoutMs: values.ipvsTcpfinTimeoutMs,
    udpTimeoutMs: values.ipvsUdpTimeoutMs,
  };
}

function valuesOfFile(path: string): FlagValues<typeof flags> {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new UsageError(`--config: ${(error as Error).message}`);
  }
  return parseFlags({ name: "kube-proxy", description: "", flags }, configFileFlags(path, text)).values;
}

/** What the command line says beside a file: the node's name, and what to do. */
function overriding(given: FlagValues<typeof flags>): Partial<FlagValues<typeof flags>> {
  const { hostnameOverride, master, cleanup } = given;
  return { master, cleanup, ...(hostnameOverride === "" ? {} : { hostnameOverride }) };
}

function detectLocalOf(values: FlagValues<typeof flags>): DetectLocal {
  switch (values.detectLocalMode) {
    case "NodeCIDR":
      return { kind: "nodeCidr" };
    case "BridgeInterface":
      if (values.podBridgeInterface === "") {
        throw new UsageError("--detect-local-mode=BridgeInterface needs --pod-bridge-interface");
      }
      return { kind: "interface", name: values.podBridgeInterface };
    case "InterfaceNamePrefix":
      if (values.podInterfaceNamePrefix === "") {
        throw new UsageError("--detect-local-mode=InterfaceNamePrefix needs --pod-interface-name-prefix");
      }
      return { kind: "interface", name: `${values.podInterfaceNamePrefix}+` };
    default:
      return { kind: "clusterCidr", prefixes: prefixesOf(values.clusterCidr) };
  }
}

function prefixesOf(text: string): Partial<Record<IpFamily, string>> {
  const prefixes: Partial<Record<IpFamily, string>> = {};
  for (const part of text.split(",").map((p) => p.trim())) {
    if (part === "") continue;
    if (!part.includes("/") || parsePrefix(part) === undefined) {
      throw new UsageError(
        `invalid value ${JSON.stringify(part)} for --cluster-cidr: must be a CIDR such as 10.244.0.0/16`,
      );
    }
    const family = familyOf(part);
    if (prefixes[family] !== undefined) throw new UsageError("--cluster-cidr must have at most one range per family");
    prefixes[family] = part;
  }
  return prefixes;
}

function nodePortAddressesOf(values: readonly string[]): Config["nodePortAddresses"] {
  if (values.length === 0) return undefined;
  if (values.length === 1 && values[0] === "primary") return "primary";
  for (const value of values) {
    if (!value.includes("/") || parsePrefix(value) === undefined) {
      throw new UsageError(
        `invalid value ${JSON.stringify(value)} for --nodeport-addresses: must be CIDRs or "primary"`,
      );
    }
  }
  return values;
}

/** "127.0.0.1:10249", "[::]:10256", or an address alone with the default port; undefined for "". */
function parseHostPort(flag: string, text: string, defaultPort: number): HostPort | undefined {
  if (text === "") return undefined;
  const match = /^(?:\[([^\]]+)\]|([^:]*))(?::(\d{1,5}))?$/.exec(text);
  const port = Number(match?.[3] ?? defaultPort);
  if (match === null || port > 65535) {
    throw new UsageError(`invalid value ${JSON.stringify(text)} for ${flag}: must be address:port`);
  }
  return { host: match[1] ?? (match[2] || "0.0.0.0"), port };
}
