/** The configuration of a sandbox and of a container as the runtime wants them, from the pod. Pure. */
import type { Container, Pod } from "@knarr/api/generated/types/core-v1.ts";
import { quantityValue } from "@knarr/apimachinery/quantity.ts";
import type {
  ContainerConfig,
  Device,
  DnsConfig,
  Image,
  LinuxContainerResources,
  Mount,
  PortMapping,
  SandboxConfig,
} from "@knarr/cri/types.ts";
import { containerHash } from "./container-hash.ts";
import { expandVariables } from "./expand.ts";
import { Annotations, Labels } from "./observed-pod.ts";
import { sandboxHostname } from "./pod-hostname.ts";
import { CPU_PERIOD_US, containerLimits, cpuQuota, cpuShares, oomScoreAdj } from "./qos.ts";
import { sandboxResources } from "./sandbox-resources.ts";
import { containerSecurityContext, sandboxSecurityContext, type UserNamespace } from "./security-context.ts";
import { type NodeSwap, swapLimit } from "./swap.ts";

export interface SandboxConfigInput {
  readonly pod: Pod;
  readonly attempt: number;
  readonly dns: DnsConfig;
  readonly clusterDomain: string;
  readonly logDirectory: string;
  /** "" when the kubelet keeps no cgroups. */
  readonly cgroupParent: string;
  readonly users: UserNamespace;
}

function identity(pod: Pod): Record<string, string> {
  return {
    [Labels.podName]: pod.metadata.name ?? "",
    [Labels.podNamespace]: pod.metadata.namespace ?? "",
    [Labels.podUid]: pod.metadata.uid ?? "",
  };
}

export function sandboxConfig(input: SandboxConfigInput): SandboxConfig {
  const { pod } = input;
  const { name = "", namespace = "", uid = "", labels, annotations } = pod.metadata;
  const sysctls = pod.spec?.securityContext?.sysctls ?? [];
  return {
    metadata: { name, namespace, uid, attempt: input.attempt },
    ...(pod.spec?.hostNetwork === true ? {} : { hostname: sandboxHostname(pod, input.clusterDomain) }),
    logDirectory: input.logDirectory,
    dnsConfig: input.dns,
    portMappings: portMappings(pod),
    labels: { ...labels, ...identity(pod) },
    annotations: { ...annotations },
    linux: {
      cgroupParent: input.cgroupParent,
      ...sandboxResources(pod),
      securityContext: sandboxSecurityContext(pod, input.users),
      sysctls: Object.fromEntries(sysctls.map((s) => [s.name.replaceAll("/", "."), s.value])),
    },
  };
}

function portMappings(pod: Pod): PortMapping[] {
  const sidecars = (pod.spec?.initContainers ?? []).filter((c) => c.restartPolicy === "Always");
  return [...sidecars, ...(pod.spec?.containers ?? [])].flatMap((container) =>
    (container.ports ?? [])
      .filter((port) => (port.hostPort ?? 0) > 0)
      .map((port) => ({
        protocol: (port.protocol ?? "TCP") as PortMapping["protocol"],
        containerPort: port.containerPort,
        hostPort: port.hostPort ?? 0,
        hostIp: port.hostIP ?? "",
      })),
  );
}

export interface ContainerConfigInput {
  readonly pod: Pod;
  readonly container: Container;
  readonly image: Image;
  /** The reference the runtime is to use. */
  readonly imageRef: string;
  readonly restartCount: number;
  readonly env: readonly { readonly key: string; readonly value: string }[];
  readonly mounts: readonly Mount[];
  readonly devices?: readonly Device[];
  readonly cdiDevices?: readonly { readonly name: string }[];
  /** "0,2-3"; undefined: anywhere. */
  readonly cpusetCpus?: string | undefined;
  /** For the runtime, besides the kubelet's own. */
  readonly annotations?: Readonly<Record<string, string>>;
  readonly seccompRoot: string;
  readonly seccompDefault?: boolean | undefined;
  readonly nodeMemoryBytes: number;
  readonly swap: NodeSwap;
  readonly cgroupVersion: 1 | 2;
  readonly targetId?: string | undefined;
  /** The sandbox's. */
  readonly users?: UserNamespace | undefined;
}

export function containerConfig(input: ContainerConfigInput): ContainerConfig {
  const { pod, container } = input;
  const variables = new Map(input.env.map(({ key, value }) => [key, value]));
  const expand = (words: readonly string[] | undefined) => (words ?? []).map((w) => expandVariables(w, variables));
  return {
    metadata: { name: container.name, attempt: input.restartCount },
    image: { image: input.imageRef, userSpecifiedImage: container.image ?? "" },
    command: expand(container.command),
    args: expand(container.args),
    workingDir: container.workingDir ?? "",
    envs: input.env,
    mounts: withOwners(input.mounts, input.users),
    ...((input.devices?.length ?? 0) === 0 ? {} : { devices: input.devices }),
    ...((input.cdiDevices?.length ?? 0) === 0 ? {} : { CDIDevices: input.cdiDevices }),
    labels: { ...identity(pod), [Labels.containerName]: container.name },
    annotations: annotationsOf(input),
    logPath: `${container.name}/${input.restartCount}.log`,
    stdin: container.stdin ?? false,
    stdinOnce: container.stdinOnce ?? false,
    tty: container.tty ?? false,
    linux: {
      resources: {
        ...containerResources(input),
        ...(input.cpusetCpus === undefined ? {} : { cpusetCpus: input.cpusetCpus }),
      },
      securityContext: containerSecurityContext(input),
    },
    ...(container.lifecycle?.stopSignal === undefined ? {} : { stopSignal: container.lifecycle.stopSignal }),
  };
}

/** In a pod with users of its own, files belong to whom they belong to on the node: mounts are mapped as the pod is. */
function withOwners(mounts: readonly Mount[], users: UserNamespace | undefined): readonly Mount[] {
  if (users?.mode !== "POD") return mounts;
  return mounts.map((mount) => ({ ...mount, uidMappings: users.uids ?? [], gidMappings: users.gids ?? [] }));
}

function annotationsOf(input: ContainerConfigInput): Record<string, string> {
  const { pod, container } = input;
  const grace = pod.spec?.terminationGracePeriodSeconds;
  return {
    ...input.annotations,
    [Annotations.hash]: containerHash(container),
    [Annotations.restartCount]: String(input.restartCount),
    [Annotations.terminationMessagePath]: container.terminationMessagePath ?? "/dev/termination-log",
    [Annotations.terminationMessagePolicy]: container.terminationMessagePolicy ?? "File",
    ...(grace === undefined ? {} : { [Annotations.podTerminationGracePeriod]: String(grace) }),
    ...(container.lifecycle?.preStop === undefined
      ? {}
      : {
          [Annotations.preStopHandler]: JSON.stringify({
            name: container.name,
            lifecycle: { preStop: container.lifecycle.preStop },
          }),
        }),
    ...((container.ports?.length ?? 0) === 0 ? {} : { [Annotations.ports]: JSON.stringify(container.ports) }),
  };
}

/** "hugepages-2Mi: 4Mi" as the kernel names page sizes: "2MB". Source: runtime-spec, hugepageLimits */
function hugepageLimits(container: Container): { pageSize: string; limit: number }[] {
  return Object.entries(container.resources?.limits ?? {}).flatMap(([name, amount]) => {
    if (!name.startsWith("hugepages-")) return [];
    const bytes = quantityValue(name.slice("hugepages-".length));
    const [unit, size] = bytes >= 2 ** 30 ? ["GB", 2 ** 30] : bytes >= 2 ** 20 ? ["MB", 2 ** 20] : ["KB", 2 ** 10];
    return [{ pageSize: `${bytes / Number(size)}${unit}`, limit: quantityValue(String(amount)) }];
  });
}

/** A container's limits as the runtime wants them. */
export function containerResources(
  input: Pick<ContainerConfigInput, "pod" | "container" | "nodeMemoryBytes" | "swap" | "cgroupVersion">,
): LinuxContainerResources {
  const limits = containerLimits(input.container);
  const hugepages = hugepageLimits(input.container);
  const swap = swapLimit({ ...input, memoryLimitBytes: limits.memoryLimitBytes }, input.swap);
  const unified = {
    // Source: one process of a container out of memory takes the whole container with it, as on v1 with one process.
    ...(input.cgroupVersion === 2 ? { "memory.oom.group": "1" } : {}),
    ...(swap.swapMaxBytes === undefined ? {} : { "memory.swap.max": String(swap.swapMaxBytes) }),
  };
  return {
    cpuPeriod: CPU_PERIOD_US,
    cpuQuota: cpuQuota(limits.cpuLimitMillis),
    cpuShares: cpuShares(limits.cpuRequestMillis),
    memoryLimitInBytes: limits.memoryLimitBytes,
    ...(hugepages.length === 0 ? {} : { hugepageLimits: hugepages }),
    oomScoreAdj: oomScoreAdj(input.pod, input.container, input.nodeMemoryBytes),
    ...(swap.memorySwapBytes === undefined ? {} : { memorySwapLimitInBytes: swap.memorySwapBytes }),
    ...(Object.keys(unified).length === 0 ? {} : { unified }),
  };
}
