/**
 * POST /containers/create for a sandbox and for a container of it, from the runtime interface's configurations. Pure.
 *
 * The sandbox is one container that sleeps. It owns the pod's network, IPC and, if the pod shares it, process namespace;
 * the pod's containers join it by its id.
 */
import type { ContainerCreateOptions, HostConfig, MountSettings } from "dockerode";
import { RuntimeError } from "../runtime-error.ts";
import type {
  ContainerConfig,
  LinuxContainerResources,
  Mount,
  NamespaceMode,
  NamespaceOption,
  SandboxConfig,
} from "../types.ts";
import { containerLabels, containerRecord, sandboxLabels, sandboxRecord } from "./identity.ts";

/** What the engine is, as far as requests depend on it. */
export interface EngineTraits {
  readonly cgroupDriver: "systemd" | "cgroupfs";
  readonly cgroupVersion: 1 | 2;
  readonly hasAppArmor: boolean;
  readonly hasSeLinux: boolean;
  /** Engine API 1.44 (Docker 25): read-only mounts can be made recursive, or told not to be. */
  readonly recursiveReadOnly: boolean;
}

/** Docker's files of the container's output; this package turns them into CRI's. Small, since they are copies. */
export const ENGINE_LOG = { Type: "json-file", Config: { "max-size": "20m", "max-file": "5" } } as const;

/** The pause container never needs more. Source: dockershim's and containerd's sandbox defaults */
const SANDBOX_CPU_SHARES = 2;
const SANDBOX_OOM_SCORE = -998;

export interface SandboxRequest {
  /** The kubelet's state folder. */
  readonly owner: string;
  readonly config: SandboxConfig;
  readonly image: string;
  readonly runtimeHandler: string;
  readonly securityOpt: readonly string[];
  readonly traits: EngineTraits;
}

export function sandboxRequest(request: SandboxRequest): ContainerCreateOptions {
  const { config, traits } = request;
  const { cgroupParent, securityContext = undefined, sysctls } = config.linux ?? {};
  const namespaces = securityContext?.namespaceOptions;
  refuseUserNamespaces(namespaces);
  const onHost = (mode: NamespaceMode | undefined) => mode === "NODE";
  const network = onHost(namespaces?.network) ? "host" : "none";
  const privileged = securityContext?.privileged ?? false;
  return {
    Image: request.image,
    ...(network === "host" || (config.hostname ?? "") === "" ? {} : { Hostname: config.hostname as string }),
    Labels: sandboxLabels(sandboxRecord(config, request.runtimeHandler), request.owner),
    ...userOf(securityContext?.runAsUser?.value, securityContext?.runAsGroup?.value, undefined),
    Healthcheck: { Test: ["NONE"] },
    HostConfig: {
      ...commonHost(request.runtimeHandler, cgroupParent, traits),
      NetworkMode: network,
      IpcMode: onHost(namespaces?.ipc) ? "host" : "shareable",
      ...(onHost(namespaces?.pid) ? { PidMode: "host" } : {}),
      ...(network === "host" ? { UTSMode: "host" } : {}),
      ...cgroupNamespace(traits, privileged),
      Privileged: privileged,
      ReadonlyRootfs: securityContext?.readonlyRootfs ?? false,
      GroupAdd: (securityContext?.supplementalGroups ?? []).map(String),
      SecurityOpt: [...request.securityOpt],
      Sysctls: { ...sysctls },
      CpuShares: SANDBOX_CPU_SHARES,
      OomScoreAdj: SANDBOX_OOM_SCORE,
    },
  };
}

export interface ContainerRequest {
  /** The kubelet's state folder. */
  readonly owner: string;
  readonly sandboxId: string;
  readonly config: ContainerConfig;
  readonly sandbox: SandboxConfig;
  readonly runtimeHandler: string;
  readonly securityOpt: readonly string[];
  /** Mounts of the runtime itself, such as the pod's resolv.conf. */
  readonly ownMounts: readonly Mount[];
  readonly traits: EngineTraits;
}

export function containerRequest(request: ContainerRequest): ContainerCreateOptions {
  const { config, sandbox, sandboxId, traits } = request;
  const security = config.linux?.securityContext;
  const namespaces = security?.namespaceOptions ?? sandbox.linux?.securityContext?.namespaceOptions;
  refuseUserNamespaces(namespaces);
  if (security?.supplementalGroupsPolicy === "Strict") {
    throw new RuntimeError("InvalidArgument", "Docker does not know the supplemental groups policy Strict");
  }
  const ofSandbox = `container:${sandboxId}`;
  const privileged = security?.privileged ?? false;
  return {
    Image: config.image.image,
    Labels: containerLabels(containerRecord(config, sandbox.logDirectory ?? ""), sandboxId, request.owner),
    ...(config.command === undefined || config.command.length === 0 ? {} : { Entrypoint: [...config.command] }),
    ...(config.args === undefined || config.args.length === 0 ? {} : { Cmd: [...config.args] }),
    ...((config.workingDir ?? "") === "" ? {} : { WorkingDir: config.workingDir as string }),
    Env: (config.envs ?? []).map(({ key, value }) => `${key}=${value}`),
    ...userOf(security?.runAsUser?.value, security?.runAsGroup?.value, security?.runAsUsername),
    OpenStdin: config.stdin ?? false,
    StdinOnce: config.stdinOnce ?? false,
    Tty: config.tty ?? false,
    // Health is the kubelet's: an image's own check would run beside its probes.
    Healthcheck: { Test: ["NONE"] },
    ...((config.stopSignal ?? "") === "" ? {} : { StopSignal: config.stopSignal as string }),
    HostConfig: {
      ...commonHost(request.runtimeHandler, sandbox.linux?.cgroupParent, traits),
      NetworkMode: ofSandbox,
      IpcMode: namespaces?.ipc === "NODE" ? "host" : ofSandbox,
      ...pidMode(namespaces, ofSandbox),
      ...(namespaces?.network === "NODE" ? { UTSMode: "host" } : {}),
      ...cgroupNamespace(traits, privileged),
      ...engineMounts([...request.ownMounts, ...(config.mounts ?? [])], traits),
      Devices: (config.devices ?? []).map((device) => ({
        PathOnHost: device.hostPath,
        PathInContainer: device.containerPath,
        CgroupPermissions: device.permissions,
      })),
      ...cdiRequests(config.CDIDevices),
      Privileged: privileged,
      CapAdd: [...(security?.capabilities?.addCapabilities ?? [])],
      CapDrop: [...(security?.capabilities?.dropCapabilities ?? [])],
      ReadonlyRootfs: security?.readonlyRootfs ?? false,
      GroupAdd: (security?.supplementalGroups ?? []).map(String),
      SecurityOpt: [...request.securityOpt],
      ...(privileged ? {} : paths(security?.maskedPaths, security?.readonlyPaths)),
      ...resourceFields(config.linux?.resources),
      OomScoreAdj: config.linux?.resources?.oomScoreAdj ?? 0,
    },
  };
}

/** Docker has had them since 25; older engines know no such driver and refuse the container. */
function cdiRequests(devices: ContainerConfig["CDIDevices"]): HostConfig {
  if (devices === undefined || devices.length === 0) return {};
  return { DeviceRequests: [{ Driver: "cdi", DeviceIDs: devices.map(({ name }) => name) }] };
}

function commonHost(runtimeHandler: string, cgroupParent: string | undefined, traits: EngineTraits): HostConfig {
  return {
    LogConfig: { Type: ENGINE_LOG.Type, Config: { ...ENGINE_LOG.Config } },
    RestartPolicy: { Name: "no" },
    // The engine's default may add a process of its own as the container's first.
    Init: false,
    ...(runtimeHandler === "" ? {} : { Runtime: runtimeHandler }),
    ...((cgroupParent ?? "") === "" ? {} : { CgroupParent: engineCgroupParent(cgroupParent as string, traits) }),
  };
}

/** The systemd driver wants the slice's name alone. */
function engineCgroupParent(parent: string, traits: EngineTraits): string {
  return traits.cgroupDriver === "systemd" ? (parent.split("/").at(-1) ?? parent) : parent;
}

/** Source: containerd's CRI plugin: private on v2 unless privileged, the host's on v1 */
function cgroupNamespace(traits: EngineTraits, privileged: boolean): object {
  return { CgroupnsMode: traits.cgroupVersion === 2 && !privileged ? "private" : "host" };
}

function pidMode(namespaces: NamespaceOption | undefined, ofSandbox: string): HostConfig {
  switch (namespaces?.pid) {
    case "POD":
      return { PidMode: ofSandbox };
    case "NODE":
      return { PidMode: "host" };
    case "TARGET":
      return { PidMode: `container:${namespaces.targetId ?? ""}` };
    default:
      return {};
  }
}

function userOf(uid: number | undefined, gid: number | undefined, name: string | undefined): { User?: string } {
  const user = uid === undefined ? (name ?? "") : String(uid);
  if (gid !== undefined) return { User: `${user === "" ? 0 : user}:${gid}` };
  return user === "" ? {} : { User: user };
}

function paths(masked: readonly string[] | undefined, readonly: readonly string[] | undefined): HostConfig {
  return {
    ...(masked === undefined ? {} : { MaskedPaths: [...masked] }),
    ...(readonly === undefined ? {} : { ReadonlyPaths: [...readonly] }),
  };
}

function refuseUserNamespaces(namespaces: NamespaceOption | undefined): void {
  if (namespaces?.usernsOptions?.mode !== "POD") return;
  throw new RuntimeError("InvalidArgument", "Docker has no user namespace per pod (hostUsers: false)");
}

/** Private is not said but left to the engine, whose default it is but for what lies below the engine's own data root. */
const PROPAGATIONS = {
  PROPAGATION_PRIVATE: undefined,
  PROPAGATION_HOST_TO_CONTAINER: "rslave",
  PROPAGATION_BIDIRECTIONAL: "rshared",
} as const;

/** Later mounts of one path win, as they do in a container's mount table. */
function engineMounts(mounts: readonly Mount[], traits: EngineTraits): HostConfig {
  if (mounts.some((m) => m.image !== undefined)) {
    throw new RuntimeError("InvalidArgument", "image volumes are not mounted on Docker");
  }
  const unique = [...new Map(mounts.map((mount) => [mount.containerPath, mount])).values()];
  // Only the older form of a mount can ask for an SELinux label.
  const relabelled = unique.filter((m) => traits.hasSeLinux && m.selinuxRelabel === true && !m.hostPath.includes(":"));
  const plain = unique.filter((m) => !relabelled.includes(m));
  const propagation = (mount: Mount) => PROPAGATIONS[mount.propagation ?? "PROPAGATION_PRIVATE"];
  return {
    Binds: relabelled.map((m) =>
      [
        m.hostPath,
        m.containerPath,
        ["Z", m.readonly ? "ro" : "rw", propagation(m)].filter((o) => o !== undefined).join(","),
      ].join(":"),
    ),
    Mounts: plain.map((m) => ({
      Type: "bind",
      Source: m.hostPath,
      Target: m.containerPath,
      ReadOnly: m.readonly,
      BindOptions: bindOptions(m, traits),
    })),
  };
}

/**
 * Docker 25 makes read-only mounts recursive of itself; Kubernetes wants that only where it asks, and Docker does it only
 * for mounts that say private.
 */
function bindOptions(mount: Mount, traits: EngineTraits): NonNullable<MountSettings["BindOptions"]> {
  const propagation = PROPAGATIONS[mount.propagation ?? "PROPAGATION_PRIVATE"];
  const depth = mount.readonly && traits.recursiveReadOnly;
  const recursive = depth && mount.recursiveReadOnly === true;
  const options = {
    ...(propagation === undefined && !recursive ? {} : { Propagation: propagation ?? "rprivate" }),
    ...(recursive ? { ReadOnlyForceRecursive: true } : depth ? { ReadOnlyNonRecursive: true } : {}),
  };
  // The types know neither the default nor what came with Docker 25.
  return options as NonNullable<MountSettings["BindOptions"]>;
}

/** Zero and absent are "not given" on both sides. */
export function resourceFields(resources: LinuxContainerResources | undefined): HostConfig {
  const { memoryLimitInBytes = 0, memorySwapLimitInBytes = 0 } = resources ?? {};
  return {
    CpuShares: resources?.cpuShares ?? 0,
    CpuPeriod: resources?.cpuPeriod ?? 0,
    CpuQuota: resources?.cpuQuota ?? 0,
    CpusetCpus: resources?.cpusetCpus ?? "",
    CpusetMems: resources?.cpusetMems ?? "",
    Memory: memoryLimitInBytes,
    // Docker's default is as much swap again. Source: containerd sets both to the limit.
    MemorySwap: memorySwapLimitInBytes !== 0 ? memorySwapLimitInBytes : memoryLimitInBytes,
  };
}
