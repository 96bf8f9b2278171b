/**
 * The messages of the runtime interface as plain data. Names and meaning are CRI's; enums are unions of strings, times
 * are epoch milliseconds, and messages that only Windows uses are left out.
 * Source: k8s.io/cri-api 0.36, runtime.v1
 */

export type NamespaceMode = "POD" | "CONTAINER" | "NODE" | "TARGET";
export type StringMap = Readonly<Record<string, string>>;

export interface IdMapping {
  readonly hostId: number;
  readonly containerId: number;
  readonly length: number;
}

export interface NamespaceOption {
  readonly network: NamespaceMode;
  readonly pid: NamespaceMode;
  readonly ipc: NamespaceMode;
  readonly targetId?: string;
  readonly usernsOptions?: {
    readonly mode: NamespaceMode;
    readonly uids?: readonly IdMapping[];
    readonly gids?: readonly IdMapping[];
  };
}

export interface SecurityProfile {
  readonly profileType: "RuntimeDefault" | "Unconfined" | "Localhost";
  readonly localhostRef?: string;
}

export interface SeLinuxOption {
  readonly user: string;
  readonly role: string;
  readonly type: string;
  readonly level: string;
}

export interface Int64Value {
  readonly value: number;
}

export interface SandboxSecurityContext {
  readonly namespaceOptions: NamespaceOption;
  readonly selinuxOptions?: SeLinuxOption;
  readonly runAsUser?: Int64Value;
  readonly runAsGroup?: Int64Value;
  readonly readonlyRootfs?: boolean;
  readonly supplementalGroups?: readonly number[];
  readonly supplementalGroupsPolicy?: "Merge" | "Strict";
  readonly privileged?: boolean;
  readonly seccomp?: SecurityProfile;
  readonly apparmor?: SecurityProfile;
}

export interface DnsConfig {
  readonly servers: readonly string[];
  readonly searches: readonly string[];
  readonly options: readonly string[];
}

export interface PortMapping {
  readonly protocol: "TCP" | "UDP" | "SCTP";
  readonly containerPort: number;
  readonly hostPort: number;
  readonly hostIp: string;
}

export interface SandboxMetadata {
  readonly name: string;
  readonly uid: string;
  readonly namespace: string;
  readonly attempt: number;
}

export interface SandboxConfig {
  readonly metadata: SandboxMetadata;
  readonly hostname?: string;
  readonly logDirectory?: string;
  readonly dnsConfig?: DnsConfig;
  readonly portMappings?: readonly PortMapping[];
  readonly labels?: StringMap;
  readonly annotations?: StringMap;
  readonly linux?: {
    readonly cgroupParent?: string;
    readonly securityContext?: SandboxSecurityContext;
    readonly sysctls?: StringMap;
    readonly overhead?: LinuxContainerResources;
    readonly resources?: LinuxContainerResources;
  };
}

export interface LinuxContainerResources {
  readonly cpuPeriod?: number;
  readonly cpuQuota?: number;
  readonly cpuShares?: number;
  readonly memoryLimitInBytes?: number;
  readonly oomScoreAdj?: number;
  readonly cpusetCpus?: string;
  readonly cpusetMems?: string;
  readonly hugepageLimits?: readonly { readonly pageSize: string; readonly limit: number }[];
  readonly unified?: StringMap;
  readonly memorySwapLimitInBytes?: number;
}

export interface ContainerSecurityContext {
  readonly capabilities?: {
    readonly addCapabilities?: readonly string[];
    readonly dropCapabilities?: readonly string[];
  };
  readonly privileged?: boolean;
  readonly namespaceOptions?: NamespaceOption;
  readonly selinuxOptions?: SeLinuxOption;
  readonly runAsUser?: Int64Value;
  readonly runAsGroup?: Int64Value;
  readonly runAsUsername?: string;
  readonly readonlyRootfs?: boolean;
  readonly supplementalGroups?: readonly number[];
  readonly supplementalGroupsPolicy?: "Merge" | "Strict";
  readonly noNewPrivs?: boolean;
  readonly maskedPaths?: readonly string[];
  readonly readonlyPaths?: readonly string[];
  readonly seccomp?: SecurityProfile;
  readonly apparmor?: SecurityProfile;
  /** The AppArmor field of runtimes before `apparmor`. */
  readonly apparmorProfile?: string;
  /** The seccomp field of runtimes before `seccomp`. */
  readonly seccompProfilePath?: string;
}

export interface Mount {
  readonly containerPath: string;
  readonly hostPath: string;
  readonly readonly: boolean;
  readonly selinuxRelabel?: boolean;
  readonly propagation?: "PROPAGATION_PRIVATE" | "PROPAGATION_HOST_TO_CONTAINER" | "PROPAGATION_BIDIRECTIONAL";
  readonly recursiveReadOnly?: boolean;
  /** Who the files' owners are inside, in a pod with users of its own. */
  readonly uidMappings?: readonly IdMapping[];
  readonly gidMappings?: readonly IdMapping[];
  /** The mount's source is this image and not `hostPath`; containerd has it since 2.1. */
  readonly image?: ImageSpec;
  readonly imageSubPath?: string;
}

export interface Device {
  readonly containerPath: string;
  readonly hostPath: string;
  readonly permissions: string;
}

export interface ImageSpec {
  readonly image: string;
  readonly annotations?: StringMap;
  readonly userSpecifiedImage?: string;
  readonly runtimeHandler?: string;
}

export interface ContainerConfig {
  readonly metadata: { readonly name: string; readonly attempt: number };
  readonly image: ImageSpec;
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  readonly workingDir?: string;
  readonly envs?: readonly { readonly key: string; readonly value: string }[];
  readonly mounts?: readonly Mount[];
  readonly devices?: readonly Device[];
  /** Fully qualified names, "vendor.com/gpu=0"; the field's name is CRI's. */
  readonly CDIDevices?: readonly { readonly name: string }[];
  readonly labels?: StringMap;
  readonly annotations?: StringMap;
  /** Relative to the sandbox's logDirectory. */
  readonly logPath?: string;
  readonly stdin?: boolean;
  readonly stdinOnce?: boolean;
  readonly tty?: boolean;
  readonly linux?: {
    readonly resources?: LinuxContainerResources;
    readonly securityContext?: ContainerSecurityContext;
  };
  /** "SIGUSR1"; runtimes that do not know the field use the image's. */
  readonly stopSignal?: string;
}

export type SandboxState = "ready" | "notReady";
export type ContainerState = "created" | "running" | "exited" | "unknown";

export interface Sandbox {
  readonly id: string;
  readonly metadata: SandboxMetadata;
  readonly state: SandboxState;
  readonly createdAt: number;
  readonly labels: StringMap;
  readonly annotations: StringMap;
  readonly runtimeHandler: string;
}

export interface SandboxStatus extends Sandbox {
  /** The primary address first; empty for the host's network. */
  readonly ips: readonly string[];
  readonly networkMode: NamespaceMode;
  /** What the runtime says with verbose on, e.g. containerd's "info" JSON with the sandbox's pid. */
  readonly info: StringMap;
}

export interface SandboxFilter {
  readonly id?: string;
  readonly state?: SandboxState;
  readonly labelSelector?: StringMap;
}

export interface ContainerFilter {
  readonly id?: string;
  readonly state?: ContainerState;
  readonly podSandboxId?: string;
  readonly labelSelector?: StringMap;
}

export interface RuntimeContainer {
  readonly id: string;
  readonly podSandboxId: string;
  readonly name: string;
  readonly attempt: number;
  readonly image: string;
  readonly imageRef: string;
  readonly state: ContainerState;
  readonly createdAt: number;
  readonly labels: StringMap;
  readonly annotations: StringMap;
}

export interface ContainerStatus {
  readonly id: string;
  readonly name: string;
  readonly attempt: number;
  readonly state: ContainerState;
  readonly createdAt: number;
  readonly startedAt: number;
  readonly finishedAt: number;
  readonly exitCode: number;
  readonly image: string;
  readonly imageRef: string;
  /** The image's id where the runtime tells it (CRI 1.29+), else "". */
  readonly imageId: string;
  readonly reason: string;
  readonly message: string;
  readonly labels: StringMap;
  readonly annotations: StringMap;
  readonly mounts: readonly Mount[];
  readonly logPath: string;
  readonly resources: LinuxContainerResources | undefined;
  readonly user:
    | { readonly uid: number; readonly gid: number; readonly supplementalGroups: readonly number[] }
    | undefined;
  /** "SIGTERM": what the runtime stops the container with, where it tells (CRI 1.33 and later). */
  readonly stopSignal: string | undefined;
}

export interface Image {
  readonly id: string;
  readonly repoTags: readonly string[];
  readonly repoDigests: readonly string[];
  readonly sizeBytes: number;
  /** The image's user: a number, or a name, or neither. */
  readonly uid: number | undefined;
  readonly username: string;
  readonly pinned: boolean;
}

export interface RegistryAuth {
  readonly username?: string;
  readonly password?: string;
  readonly auth?: string;
  readonly serverAddress?: string;
  readonly identityToken?: string;
  readonly registryToken?: string;
}

export interface RuntimeVersion {
  readonly runtimeName: string;
  readonly runtimeVersion: string;
  readonly runtimeApiVersion: string;
}

export interface RuntimeCondition {
  readonly type: string;
  readonly status: boolean;
  readonly reason: string;
  readonly message: string;
}

export interface RuntimeHandler {
  readonly name: string;
  readonly features?: { readonly recursiveReadOnlyMounts: boolean; readonly userNamespaces: boolean };
}

export interface RuntimeStatus {
  readonly conditions: readonly RuntimeCondition[];
  readonly runtimeHandlers: readonly RuntimeHandler[];
  readonly supplementalGroupsPolicy: boolean;
}

export interface ContainerStats {
  readonly id: string;
  readonly name: string;
  readonly labels: StringMap;
  readonly timestamp: number;
  readonly cpuUsageNanoSeconds: number | undefined;
  readonly memoryWorkingSetBytes: number | undefined;
  readonly memoryUsageBytes: number | undefined;
  readonly memoryRssBytes: number | undefined;
  readonly memoryAvailableBytes: number | undefined;
  readonly pageFaults: number | undefined;
  readonly majorPageFaults: number | undefined;
  readonly writableLayerBytes: number | undefined;
  readonly writableLayerInodes: number | undefined;
}

export interface FilesystemUsage {
  readonly mountpoint: string;
  readonly timestamp: number;
  readonly usedBytes: number;
  readonly inodesUsed: number;
}

export interface RuntimeEvent {
  readonly containerId: string;
  readonly type: "created" | "started" | "stopped" | "deleted";
  /** "" when the runtime does not name the sandbox. */
  readonly podUid: string;
  readonly createdAt: number;
}
