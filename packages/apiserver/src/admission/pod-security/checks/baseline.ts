/** The checks of the baseline level, by id. Source: k8s.io/pod-security-admission/policy/check_*.go */
import type { LifecycleHandler, Probe } from "@knarr/api/generated/types/core-v1.ts";
import {
  type Check,
  containersOf,
  hasOwnUsers,
  named,
  namesWhere,
  type PodLike,
  plural,
  quoted,
  setters,
  sorted,
} from "./check.ts";

const APPARMOR_PREFIX = "container.apparmor.security.beta.kubernetes.io/";
const appArmorProfile: Check = {
  id: "appArmorProfile",
  level: "baseline",
  versions: [
    {
      since: 0,
      find(pod) {
        const bad: string[] = [];
        const isBad = (type: string | undefined) => {
          if (type === undefined || type === "RuntimeDefault" || type === "Localhost") return false;
          bad.push(type);
          return true;
        };
        const podSets = isBad(pod.spec.securityContext?.appArmorProfile?.type);
        const containers = namesWhere(pod, (c) => isBad(c.securityContext?.appArmorProfile?.type));
        const annotations = Object.entries(pod.metadata.annotations ?? {})
          .filter(([key, value]) => {
            if (!key.startsWith(APPARMOR_PREFIX)) return false;
            if (["", "runtime/default"].includes(value) || value.startsWith("localhost/")) return false;
            bad.push(value);
            return true;
          })
          .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
          .sort();
        const notes =
          annotations.length === 0 ? [] : [`${plural(annotations.length, "annotation")} ${annotations.join(", ")}`];
        if (bad.length === 0) return undefined;
        const values = sorted(bad);
        return {
          reason: plural(values.length, "forbidden AppArmor profile"),
          detail: `${setters(podSets, containers, notes)} must not set AppArmor profile type to ${quoted(values)}`,
        };
      },
    },
  ],
};

const DEFAULT_CAPABILITIES = new Set([
  ...["AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE"],
  ...["SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"],
]);
const capabilitiesBaseline: Check = {
  id: "capabilities_baseline",
  level: "baseline",
  versions: [
    {
      since: 0,
      find(pod) {
        const unusual = (added: readonly string[] = []) => added.filter((name) => !DEFAULT_CAPABILITIES.has(name));
        const all = containersOf(pod).flatMap((c) => unusual(c.securityContext?.capabilities?.add));
        if (all.length === 0) return undefined;
        const bad = namesWhere(pod, (c) => unusual(c.securityContext?.capabilities?.add).length > 0);
        return {
          reason: "non-default capabilities",
          detail: `${named("container", bad)} must not include ${quoted(sorted(all))} in securityContext.capabilities.add`,
        };
      },
    },
  ],
};

const hostNamespaces: Check = {
  id: "hostNamespaces",
  level: "baseline",
  versions: [
    {
      since: 0,
      find({ spec }) {
        const shared = (["hostNetwork", "hostPID", "hostIPC"] as const).filter((name) => spec[name] === true);
        if (shared.length === 0) return undefined;
        return { reason: "host namespaces", detail: shared.map((name) => `${name}=true`).join(", ") };
      },
    },
  ],
};

const hostPathVolumes: Check = {
  id: "hostPathVolumes",
  level: "baseline",
  versions: [
    {
      since: 0,
      find({ spec }) {
        const volumes = (spec.volumes ?? []).filter((volume) => volume.hostPath !== undefined).map((v) => v.name);
        return volumes.length === 0 ? undefined : { reason: "hostPath volumes", detail: named("volume", volumes) };
      },
    },
  ],
};

const hostPorts: Check = {
  id: "hostPorts",
  level: "baseline",
  versions: [
    {
      since: 0,
      find(pod) {
        const taken = (c: { ports?: readonly { hostPort?: number | undefined }[] | undefined }) =>
          (c.ports ?? []).flatMap(({ hostPort = 0 }) => (hostPort === 0 ? [] : [String(hostPort)]));
        const ports = sorted(containersOf(pod).flatMap(taken));
        if (ports.length === 0) return undefined;
        const bad = namesWhere(pod, (c) => taken(c).length > 0);
        const what = plural(ports.length, "hostPort");
        return {
          reason: what,
          detail: `${named("container", bad)} ${plural(bad.length, "uses", "use")} ${what} ${ports.join(", ")}`,
        };
      },
    },
  ],
};

/** Probes that go elsewhere would let anybody make the node send requests. Source: KEP-4940 */
const hostProbesAndHostLifecycle: Check = {
  id: "hostProbesAndHostLifecycle",
  level: "baseline",
  versions: [
    {
      since: 34,
      find(pod) {
        const hostsOf = (handler: Probe | LifecycleHandler | undefined) =>
          [handler?.httpGet?.host ?? "", handler?.tcpSocket?.host ?? ""].filter((host) => host !== "");
        const all = (c: ReturnType<typeof containersOf>[number]) =>
          [c.livenessProbe, c.readinessProbe, c.startupProbe, c.lifecycle?.postStart, c.lifecycle?.preStop].flatMap(
            hostsOf,
          );
        const hosts = sorted(containersOf(pod).flatMap(all));
        if (hosts.length === 0) return undefined;
        const bad = sorted(namesWhere(pod, (c) => all(c).length > 0));
        const verb = plural(bad.length, "uses", "use");
        return {
          reason: "probe or lifecycle host",
          detail: `${named("container", bad)} ${verb} ${plural(hosts.length, "probe or lifecycle host")} ${quoted(hosts)}`,
        };
      },
    },
  ],
};

const privileged: Check = {
  id: "privileged",
  level: "baseline",
  versions: [
    {
      since: 0,
      find(pod) {
        const bad = namesWhere(pod, (c) => c.securityContext?.privileged === true);
        if (bad.length === 0) return undefined;
        return {
          reason: "privileged",
          detail: `${named("container", bad)} must not set securityContext.privileged=true`,
        };
      },
    },
  ],
};

function findProcMount(pod: PodLike) {
  const wrong = (type: string | undefined) => type !== undefined && type !== "Default";
  const bad = namesWhere(pod, (c) => wrong(c.securityContext?.procMount));
  if (bad.length === 0) return undefined;
  const types = sorted(
    containersOf(pod)
      .flatMap((c) => c.securityContext?.procMount ?? [])
      .filter(wrong),
  );
  return {
    reason: "procMount",
    detail: `${named("container", bad)} must not set securityContext.procMount to ${quoted(types)}`,
  };
}
const procMount: Check = {
  id: "procMount",
  level: "baseline",
  versions: [
    { since: 0, find: findProcMount },
    { since: 35, find: (pod) => (hasOwnUsers(pod) ? undefined : findProcMount(pod)) },
  ],
};

const SELINUX_TYPES = ["", "container_t", "container_init_t", "container_kvm_t"];
function findSeLinux(pod: PodLike, allowed: readonly string[]) {
  const types: string[] = [];
  let [user, role] = [false, false];
  const isBad = (options: { type?: string | undefined; user?: string | undefined; role?: string | undefined } = {}) => {
    const wrongType = !allowed.includes(options.type ?? "");
    if (wrongType) types.push(options.type ?? "");
    const [setsUser, setsRole] = [(options.user ?? "") !== "", (options.role ?? "") !== ""];
    user ||= setsUser;
    role ||= setsRole;
    return wrongType || setsUser || setsRole;
  };
  const podSets = isBad(pod.spec.securityContext?.seLinuxOptions);
  const containers = namesWhere(pod, (c) => isBad(c.securityContext?.seLinuxOptions));
  if (!podSets && containers.length === 0) return undefined;
  const bad = sorted(types);
  const what = [
    ...(bad.length > 0 ? [`${plural(bad.length, "type")} ${quoted(bad)}`] : []),
    ...(user ? ["user may not be set"] : []),
    ...(role ? ["role may not be set"] : []),
  ];
  return {
    reason: "seLinuxOptions",
    detail: `${setters(podSets, containers)} set forbidden securityContext.seLinuxOptions: ${what.join("; ")}`,
  };
}
const seLinuxOptions: Check = {
  id: "seLinuxOptions",
  level: "baseline",
  versions: [
    { since: 0, find: (pod) => findSeLinux(pod, SELINUX_TYPES) },
    { since: 31, find: (pod) => findSeLinux(pod, [...SELINUX_TYPES, "container_engine_t"]) },
  ],
};

const SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/";
const seccompProfileBaseline: Check = {
  id: "seccompProfile_baseline",
  level: "baseline",
  versions: [
    {
      since: 0,
      find(pod) {
        const annotations = pod.metadata.annotations ?? {};
        const keys = [SECCOMP_POD, ...containersOf(pod).map((c) => `${SECCOMP_CONTAINER}${c.name}`)];
        const fine = (value: string) =>
          ["runtime/default", "docker/default"].includes(value) || value.startsWith("localhost/");
        const bad = sorted(
          keys.flatMap((key) => {
            const value = annotations[key];
            return value === undefined || fine(value) ? [] : [`${key}=${JSON.stringify(value)}`];
          }),
        );
        if (bad.length === 0) return undefined;
        return { reason: "seccompProfile", detail: `forbidden ${plural(bad.length, "annotation")} ${bad.join(", ")}` };
      },
    },
    { since: 19, find: findSeccomp },
  ],
};

/** Profiles that are set to something that confines nothing. */
export function findSeccomp(pod: PodLike) {
  const values: string[] = [];
  const isBad = (type: string | undefined) => {
    if (type === undefined || type === "RuntimeDefault" || type === "Localhost") return false;
    values.push(type);
    return true;
  };
  const podSets = isBad(pod.spec.securityContext?.seccompProfile?.type);
  const containers = namesWhere(pod, (c) => isBad(c.securityContext?.seccompProfile?.type));
  if (!podSets && containers.length === 0) return undefined;
  return {
    reason: "seccompProfile",
    detail: `${setters(podSets, containers)} must not set securityContext.seccompProfile.type to ${quoted(sorted(values))}`,
  };
}

const SYSCTLS = [
  "kernel.shm_rmid_forced",
  "net.ipv4.ip_local_port_range",
  "net.ipv4.tcp_syncookies",
  "net.ipv4.ping_group_range",
  "net.ipv4.ip_unprivileged_port_start",
];
const SYSCTLS_27 = [...SYSCTLS, "net.ipv4.ip_local_reserved_ports"];
const SYSCTLS_29 = [
  ...SYSCTLS_27,
  ...["net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout"],
  ...["net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes"],
];
const SYSCTLS_32 = [...SYSCTLS_29, "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"];
function findSysctls({ spec }: PodLike, allowed: readonly string[]) {
  const names = (spec.securityContext?.sysctls ?? []).map((sysctl) => sysctl.name);
  const bad = names.filter((name) => !allowed.includes(name));
  if (bad.length === 0) return undefined;
  return { reason: plural(bad.length, "forbidden sysctl"), detail: bad.join(", ") };
}
const sysctls: Check = {
  id: "sysctls",
  level: "baseline",
  versions: [
    { since: 0, find: (pod) => findSysctls(pod, SYSCTLS) },
    { since: 27, find: (pod) => findSysctls(pod, SYSCTLS_27) },
    { since: 29, find: (pod) => findSysctls(pod, SYSCTLS_29) },
    { since: 32, find: (pod) => findSysctls(pod, SYSCTLS_32) },
  ],
};

const windowsHostProcess: Check = {
  id: "windowsHostProcess",
  level: "baseline",
  versions: [
    {
      since: 0,
      find(pod) {
        const podSets = pod.spec.securityContext?.windowsOptions?.hostProcess === true;
        const bad = namesWhere(pod, (c) => c.securityContext?.windowsOptions?.hostProcess === true);
        if (!podSets && bad.length === 0) return undefined;
        return {
          reason: "hostProcess",
          detail: `${setters(podSets, bad)} must not set securityContext.windowsOptions.hostProcess=true`,
        };
      },
    },
  ],
};

export const baselineChecks: readonly Check[] = [
  appArmorProfile,
  capabilitiesBaseline,
  hostNamespaces,
  hostPathVolumes,
  hostPorts,
  hostProbesAndHostLifecycle,
  privileged,
  procMount,
  seLinuxOptions,
  seccompProfileBaseline,
  sysctls,
  windowsHostProcess,
];
