/** What goes into a pod's resolv.conf. Pure. Source: kubernetes.io/docs/concepts/services-networking/dns-pod-service */
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { DnsConfig } from "@knarr/cri/types.ts";

export interface DnsInput {
  readonly pod: Pod;
  readonly clusterDns: readonly string[];
  readonly clusterDomain: string;
  /** The node's own configuration. */
  readonly host: DnsConfig;
}

/** Reads a resolv.conf. */
export function parseResolvConf(text: string): DnsConfig {
  const servers: string[] = [];
  let searches: string[] = [];
  let options: string[] = [];
  for (const line of text.split("\n")) {
    const [keyword, ...words] = line
      .replace(/[#;].*$/, "")
      .trim()
      .split(/\s+/);
    if (keyword === "nameserver" && words[0] !== undefined) servers.push(words[0]);
    if (keyword === "search") searches = words.filter((w) => w !== ".");
    if (keyword === "options") options = words;
  }
  return { servers, searches, options };
}

/** What glibc and musl take. Source: upstream's limits on a pod's resolv.conf */
const MAX_SERVERS = 3;
const MAX_SEARCHES = 32;
const MAX_SEARCH_CHARS = 2048;

/** Cuts a configuration to what resolvers take; `warn` is told what was left out. */
export function fitDnsConfig(dns: DnsConfig, warn: (message: string) => void): DnsConfig {
  const servers = dns.servers.slice(0, MAX_SERVERS);
  if (servers.length < dns.servers.length) {
    warn(
      `Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: ${servers.join(" ")}`,
    );
  }
  let searches = dns.searches.slice(0, MAX_SEARCHES);
  while (searches.join(" ").length > MAX_SEARCH_CHARS) searches = searches.slice(0, -1);
  if (searches.length < dns.searches.length) {
    warn(
      `Search Line limits were exceeded, some search paths have been omitted, the applied search line is: ${searches.join(" ")}`,
    );
  }
  return { ...dns, servers, searches };
}

/** Whether a pod wants the cluster's resolver and the kubelet knows of none. */
export function lacksClusterDns(pod: Pod, clusterDns: readonly string[]): boolean {
  const { dnsPolicy = "ClusterFirst", hostNetwork } = pod.spec ?? {};
  if (clusterDns.length > 0) return false;
  return dnsPolicy === "ClusterFirstWithHostNet" || (dnsPolicy === "ClusterFirst" && hostNetwork !== true);
}

export function computeDnsConfig(input: DnsInput): DnsConfig {
  const policy = input.pod.spec?.dnsPolicy ?? "ClusterFirst";
  const own = input.pod.spec?.dnsConfig;
  const base = basis(input, policy);
  const options = new Map(base.options.map((option) => [option.split(":", 1)[0] ?? "", option]));
  for (const { name, value } of own?.options ?? []) {
    if (name !== undefined) options.set(name, value === undefined || value === "" ? name : `${name}:${value}`);
  }
  return {
    servers: [...new Set([...base.servers, ...(own?.nameservers ?? [])])],
    searches: [...new Set([...base.searches, ...(own?.searches ?? [])])],
    options: [...options.values()],
  };
}

function basis(input: DnsInput, policy: string): DnsConfig {
  if (policy === "None") return { servers: [], searches: [], options: [] };
  const onHost = input.pod.spec?.hostNetwork === true;
  const clusterFirst = policy === "ClusterFirstWithHostNet" || (policy === "ClusterFirst" && !onHost);
  // Without a cluster resolver the node's own is all there is.
  if (!clusterFirst || input.clusterDns.length === 0) return input.host;
  const { clusterDomain: domain } = input;
  const cluster = domain === "" ? [] : [`${input.pod.metadata.namespace ?? ""}.svc.${domain}`, `svc.${domain}`, domain];
  return {
    servers: input.clusterDns,
    searches: [...new Set([...cluster, ...input.host.searches])],
    options: ["ndots:5"],
  };
}
