/**
 * A KubeProxyConfiguration file as the flags that say the same, so that both are validated in one place. As with
 * upstream, --config replaces all other flags but --hostname-override and those of logging.
 * Source: kubernetes.io/docs/reference/config-api/kube-proxy-config.v1alpha1
 */
import { UsageError } from "@knarr/daemon/flags.ts";
import { parse } from "yaml";

type Fields = Readonly<Record<string, unknown>>;

/** [path in the file, flag]. */
const fieldFlags: readonly (readonly [path: string, flag: string])[] = [
  ["clientConnection.kubeconfig", "kubeconfig"],
  ["hostnameOverride", "hostname-override"],
  ["mode", "proxy-mode"],
  ["clusterCIDR", "cluster-cidr"],
  ["detectLocalMode", "detect-local-mode"],
  ["detectLocal.bridgeInterface", "pod-bridge-interface"],
  ["detectLocal.interfaceNamePrefix", "pod-interface-name-prefix"],
  ["healthzBindAddress", "healthz-bind-address"],
  ["metricsBindAddress", "metrics-bind-address"],
  ["nodePortAddresses", "nodeport-addresses"],
  ["iptables.localhostNodePorts", "iptables-localhost-nodeports"],
  ["ipvs.scheduler", "ipvs-scheduler"],
  ["ipvs.excludeCIDRs", "ipvs-exclude-cidrs"],
  ["ipvs.strictARP", "ipvs-strict-arp"],
  ["ipvs.tcpTimeout", "ipvs-tcp-timeout"],
  ["ipvs.tcpFinTimeout", "ipvs-tcpfin-timeout"],
  ["ipvs.udpTimeout", "ipvs-udp-timeout"],
  ["ipvs.syncPeriod", "ipvs-sync-period"],
  ["ipvs.minSyncPeriod", "ipvs-min-sync-period"],
  ["conntrack.maxPerCore", "conntrack-max-per-core"],
  ["conntrack.min", "conntrack-min"],
  ["conntrack.tcpEstablishedTimeout", "conntrack-tcp-timeout-established"],
  ["conntrack.tcpCloseWaitTimeout", "conntrack-tcp-timeout-close-wait"],
  ["conntrack.tcpBeLiberal", "conntrack-tcp-be-liberal"],
];
/** What each mode has in a section of its own, which counts for that mode only. */
const modeFields: readonly (readonly [name: string, flag: string])[] = [
  ["masqueradeAll", "masquerade-all"],
  ["masqueradeBit", "iptables-masquerade-bit"],
  ["syncPeriod", "iptables-sync-period"],
  ["minSyncPeriod", "iptables-min-sync-period"],
];
/** Of these a zero means the default: so kubeadm writes them. Elsewhere zero is a choice of its own. */
const zeroMeansDefault = /\.(?:syncPeriod|minSyncPeriod)$/;

/** The flags, as words. Throws UsageError for what is no KubeProxyConfiguration. */
export function configFileFlags(path: string, text: string): string[] {
  let document: unknown;
  try {
    document = parse(text);
  } catch (error) {
    throw new UsageError(`--config: ${path} is not YAML: ${(error as Error).message.split("\n")[0]}`);
  }
  const { apiVersion, kind, mode } = (document ?? {}) as Fields;
  if (kind !== "KubeProxyConfiguration" || apiVersion !== "kubeproxy.config.k8s.io/v1alpha1") {
    throw new UsageError(
      `--config: ${path} must be a KubeProxyConfiguration of kubeproxy.config.k8s.io/v1alpha1, not ${kind} of ${apiVersion}`,
    );
  }
  // Where the mode is left to us, what was written for iptables counts too, and what was written for nftables more.
  const sections = mode === "iptables" || mode === "nftables" ? [mode] : ["iptables", "nftables"];
  // Mode ipvs has its masquerading from the section of iptables. Source: KubeProxyIPTablesConfiguration
  if (mode === "ipvs") sections.pop();
  const ofMode = sections.flatMap((section) => modeFields.map(([name, flag]) => [`${section}.${name}`, flag] as const));
  return [...fieldFlags, ...ofMode].flatMap(([field, flag]) => {
    const value = field.split(".").reduce<unknown>((at, key) => (at as Fields | null | undefined)?.[key], document);
    if (value === undefined || value === null || value === "") return [];
    if (zeroMeansDefault.test(field) && /^0(?:m?s)?$/.test(String(value))) return [];
    return [`--${flag}=${Array.isArray(value) ? value.join(",") : String(value)}`];
  });
}
