/**
 * What a pod may ask of this node's kernel and runtime: sysctls, AppArmor, groups, operating system. A pod that asks for
 * what is not there ends as Failed instead of running with less. Pure; reasons and wording are upstream's.
 */
import type { Container, Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { Refusal } from "./admission.ts";

export interface NodeFeatures {
  /** Sysctls beyond the safe ones that pods may set: names, or prefixes with a "*" at their end. */
  readonly allowedUnsafeSysctls: readonly string[];
  readonly appArmor: boolean;
  /** Whether the runtime can leave out the groups of the image. */
  readonly supplementalGroupsPolicy: boolean;
}

/** Source: kubernetes.io/docs/tasks/administer-cluster/sysctl-cluster#safe-and-unsafe-sysctls */
const SAFE_SYSCTLS = [
  "kernel.shm_rmid_forced",
  "net.ipv4.ip_local_port_range",
  "net.ipv4.tcp_syncookies",
  "net.ipv4.ping_group_range",
  "net.ipv4.ip_unprivileged_port_start",
  "net.ipv4.ip_local_reserved_ports",
  "net.ipv4.tcp_keepalive_time",
  "net.ipv4.tcp_fin_timeout",
  "net.ipv4.tcp_keepalive_intvl",
  "net.ipv4.tcp_keepalive_probes",
  "net.ipv4.tcp_rmem",
  "net.ipv4.tcp_wmem",
];

export function refuseFeatures(pod: Pod, features: NodeFeatures): Refusal | undefined {
  return refuseOs(pod) ?? refuseGroups(pod, features) ?? refuseSysctls(pod, features) ?? refuseAppArmor(pod, features);
}

function refuseOs(pod: Pod): Refusal | undefined {
  const selected = pod.spec?.nodeSelector?.["kubernetes.io/os"];
  if (selected !== undefined && selected !== "linux") {
    const message = "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label";
    return { reason: "PodOSSelectorNodeLabelDoesNotMatch", message };
  }
  const os = pod.spec?.os?.name;
  if (os === undefined || os === "linux") return undefined;
  return { reason: "PodOSNotSupported", message: "Failed to admit pod as the OS field doesn't match node OS" };
}

function refuseGroups(pod: Pod, features: NodeFeatures): Refusal | undefined {
  if (pod.spec?.securityContext?.supplementalGroupsPolicy !== "Strict" || features.supplementalGroupsPolicy) {
    return undefined;
  }
  return {
    reason: "SupplementalGroupsPolicyNotSupported",
    message: "SupplementalGroupsPolicy=Strict is not supported in this node",
  };
}

/** The namespace that isolates a sysctl; undefined for one that is the whole machine's. */
export function sysctlNamespace(name: string): "net" | "ipc" | undefined {
  if (name.startsWith("net.")) return "net";
  const ipc = ["kernel.sem", "kernel.shm", "kernel.msg", "fs.mqueue."];
  return ipc.some((prefix) => name.startsWith(prefix)) ? "ipc" : undefined;
}

function refuseSysctls(pod: Pod, features: NodeFeatures): Refusal | undefined {
  const allowed = [...SAFE_SYSCTLS, ...features.allowedUnsafeSysctls.map(dotted)];
  for (const sysctl of pod.spec?.securityContext?.sysctls ?? []) {
    const name = dotted(sysctl.name);
    const why = refuseSysctl(pod, name, allowed);
    if (why !== undefined) return { reason: "SysctlForbidden", message: `forbidden sysctl: ${why}` };
  }
  return undefined;
}

const dotted = (name: string) => name.replaceAll("/", ".");

function refuseSysctl(pod: Pod, name: string, allowed: readonly string[]): string | undefined {
  const listed = allowed.some((a) => (a.endsWith("*") ? name.startsWith(a.slice(0, -1)) : a === name));
  if (!listed) return `${JSON.stringify(name)} not allowlisted`;
  const namespace = sysctlNamespace(name);
  const shared = namespace === "net" ? pod.spec?.hostNetwork : namespace === "ipc" ? pod.spec?.hostIPC : false;
  return shared === true ? `${JSON.stringify(name)} not allowed with host ${namespace} enabled` : undefined;
}

/** Flags that name a sysctl which no namespace isolates are refused when the kubelet starts. */
export function checkUnsafeSysctls(patterns: readonly string[]): string | undefined {
  const wrong = patterns.find((p) => sysctlNamespace(dotted(p).replace(/\*$/, "")) === undefined);
  return wrong === undefined ? undefined : `the sysctl ${JSON.stringify(wrong)} is not known to be namespaced`;
}

function refuseAppArmor(pod: Pod, features: NodeFeatures): Refusal | undefined {
  if (features.appArmor) return undefined;
  const { initContainers = [], containers = [] } = pod.spec ?? { containers: [] };
  const profile = (c: Container) => c.securityContext?.appArmorProfile ?? pod.spec?.securityContext?.appArmorProfile;
  const asks = [...initContainers, ...containers].some((c) => (profile(c)?.type ?? "Unconfined") !== "Unconfined");
  if (!asks) return undefined;
  return { reason: "AppArmor", message: "Cannot enforce AppArmor: AppArmor is not enabled on the host" };
}
