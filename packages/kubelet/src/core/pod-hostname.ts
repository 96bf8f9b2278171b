/** A pod's host name and the hosts file that names it. Pure. */
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";

/** The kernel's limit on a host name. */
const MAX_HOSTNAME = 63;

export interface PodHostname {
  readonly hostname: string;
  /** "name.subdomain.ns.svc.cluster.local", or "" without a subdomain. */
  readonly fqdn: string;
}

export function podHostname(pod: Pod, clusterDomain: string): PodHostname {
  const { spec, metadata } = pod;
  if (spec?.hostnameOverride !== undefined) return { hostname: spec.hostnameOverride, fqdn: "" };
  const own = spec?.hostname ?? "";
  const hostname = own === "" ? (metadata.name ?? "").slice(0, MAX_HOSTNAME).replace(/[-.]+$/, "") : own;
  const subdomain = spec?.subdomain ?? "";
  const fqdn = subdomain === "" ? "" : `${hostname}.${subdomain}.${metadata.namespace ?? ""}.svc.${clusterDomain}`;
  return { hostname, fqdn };
}

/** The kernel takes 64 characters. */
const MAX_FQDN = 64;

/** What `hostname` prints inside the pod. Throws an Error for a name that the kernel does not take. */
export function sandboxHostname(pod: Pod, clusterDomain: string): string {
  const { hostname, fqdn } = podHostname(pod, clusterDomain);
  if (pod.spec?.setHostnameAsFQDN === true && fqdn.length > MAX_FQDN) {
    throw new Error(
      `Failed to construct FQDN from Pod hostname and cluster domain, FQDN ${fqdn} is too long (${MAX_FQDN} characters is the max, ${fqdn.length} characters requested)`,
    );
  }
  return pod.spec?.setHostnameAsFQDN === true && fqdn !== "" ? fqdn : hostname;
}

/** The managed /etc/hosts of a pod; on the host's network, the host's own file with the pod's aliases. */
export function renderHostsFile(pod: Pod, podIps: readonly string[], clusterDomain: string, hostFile: string): string {
  return `${pod.spec?.hostNetwork === true ? hostNetworkHead(hostFile) : podHead(pod, podIps, clusterDomain)}${aliases(pod)}`;
}

function hostNetworkHead(hostFile: string): string {
  return `# Kubernetes-managed hosts file (host network).\n${hostFile}`;
}

function podHead(pod: Pod, podIps: readonly string[], clusterDomain: string): string {
  const { hostname, fqdn } = podHostname(pod, clusterDomain);
  const names = fqdn === "" ? hostname : `${fqdn}\t${hostname}`;
  const lines = [
    "# Kubernetes-managed hosts file.",
    "127.0.0.1\tlocalhost",
    "::1\tlocalhost ip6-localhost ip6-loopback",
    "fe00::0\tip6-localnet",
    "fe00::0\tip6-mcastprefix",
    "fe00::1\tip6-allnodes",
    "fe00::2\tip6-allrouters",
    ...podIps.map((ip) => `${ip}\t${names}`),
  ];
  return `${lines.join("\n")}\n`;
}

function aliases(pod: Pod): string {
  const entries = pod.spec?.hostAliases ?? [];
  if (entries.length === 0) return "";
  const lines = entries.map(({ ip, hostnames }) => `${ip}\t${(hostnames ?? []).join("\t")}`);
  return `\n# Entries added by HostAliases.\n${lines.join("\n")}\n`;
}
