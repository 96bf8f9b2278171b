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
