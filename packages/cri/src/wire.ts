/** Turns CRI's messages, as proto-loader decodes them, into the plain data of types.ts. Pure. */
import type {
  ContainerState,
  ContainerStats,
  ContainerStatus,
  FilesystemUsage,
  Image,
  LinuxContainerResources,
  Mount,
  NamespaceMode,
  RuntimeContainer,
  RuntimeEvent,
  Sandbox,
  SandboxMetadata,
  SandboxStatus,
  StringMap,
} from "./types.ts";

interface WireValue {
  value: string;
}

/** Epoch milliseconds (with microseconds as fraction) of nanoseconds written as a decimal string. */
export function msOfNanos(nanos: string | number): number {
  return Number(BigInt(nanos) / 1000n) / 1000;
}

function numberOf(value: WireValue | null | undefined): number | undefined {
  return value === null || value === undefined ? undefined : Number(value.value);
}

const STATES: Readonly<Record<string, ContainerState>> = {
  CONTAINER_CREATED: "created",
  CONTAINER_RUNNING: "running",
  CONTAINER_EXITED: "exited",
  CONTAINER_UNKNOWN: "unknown",
};

export const WIRE_CONTAINER_STATE: Readonly<Record<ContainerState, string>> = {
  created: "CONTAINER_CREATED",
  running: "CONTAINER_RUNNING",
  exited: "CONTAINER_EXITED",
  unknown: "CONTAINER_UNKNOWN",
};

export interface WireSandbox {
  id: string;
  metadata: SandboxMetadata | null;
  state: string;
  createdAt: string;
  labels: StringMap;
  annotations: StringMap;
  runtimeHandler: string;
}

export function sandboxOf(wire: WireSandbox): Sandbox {
  return {
    id: wire.id,
    metadata: wire.metadata ?? { name: "", uid: "", namespace: "", attempt: 0 },
    state: wire.state === "SANDBOX_READY" ? "ready" : "notReady",
    createdAt: msOfNanos(wire.createdAt),
    labels: wire.labels,
    annotations: wire.annotations,
    runtimeHandler: wire.runtimeHandler,
  };
}

export interface WireSandboxStatus extends WireSandbox {
  network: { ip: string; additionalIps: { ip: string }[] } | null;
  linux: { namespaces: { options: { network: NamespaceMode } | null } | null } | null;
}

export function sandboxStatusOf(wire: WireSandboxStatus, info: StringMap): SandboxStatus {
  const ips = wire.network === null ? [] : [wire.network.ip, ...wire.network.additionalIps.map((a) => a.ip)];
  return {
    ...sandboxOf(wire),
    ips: ips.filter((ip) => ip !== ""),
    networkMode: wire.linux?.namespaces?.options?.network ?? "POD",
    info,
  };
}

export interface WireContainer {
  id: string;
  podSandboxId: string;
  metadata: { name: string; attempt: number } | null;
  image: { image: string } | null;
  imageRef: string;
  state: string;
  createdAt: string;
  labels: StringMap;
  annotations: StringMap;
}

export function containerOf(wire: WireContainer): RuntimeContainer {
  return {
    id: wire.id,
    podSandboxId: wire.podSandboxId,
    name: wire.metadata?.name ?? "",
    attempt: wire.metadata?.attempt ?? 0,
    image: wire.image?.image ?? "",
    imageRef: wire.imageRef,
    state: STATES[wire.state] ?? "unknown",
    createdAt: msOfNanos(wire.createdAt),
    labels: wire.labels,
    annotations: wire.annotations,
  };
}

interface WireLinuxResources {
  cpuPeriod: string;
  cpuQuota: string;
  cpuShares: string;
  memoryLimitInBytes: string;
  oomScoreAdj: string;
  cpusetCpus: string;
  cpusetMems: string;
}

export interface WireContainerStatus extends Omit<WireContainer, "podSandboxId"> {
  startedAt: string;
  finishedAt: string;
  exitCode: number;
  imageId: string;
  reason: string;
  message: string;
  mounts: Mount[];
  logPath: string;
  resources: { linux: WireLinuxResources | null } | null;
  user: { linux: { uid: string; gid: string; supplementalGroups: string[] } | null } | null;
  stopSignal: string;
}

/** The value of runtimes that do not tell. */
const UNKNOWN_SIGNAL = "RUNTIME_DEFAULT";

export function containerStatusOf(wire: WireContainerStatus): ContainerStatus {
  const user = wire.user?.linux ?? undefined;
  return {
    id: wire.id,
    name: wire.metadata?.name ?? "",
    attempt: wire.metadata?.attempt ?? 0,
    state: STATES[wire.state] ?? "unknown",
    createdAt: msOfNanos(wire.createdAt),
    startedAt: msOfNanos(wire.startedAt),
    finishedAt: msOfNanos(wire.finishedAt),
    exitCode: wire.exitCode,
    image: wire.image?.image ?? "",
    imageRef: wire.imageRef,
    imageId: wire.imageId,
    reason: wire.reason,
    message: wire.message,
    labels: wire.labels,
    annotations: wire.annotations,
    mounts: wire.mounts,
    logPath: wire.logPath,
    resources: linuxResourcesOf(wire.resources?.linux ?? undefined),
    user:
      user === undefined
        ? undefined
        : { uid: Number(user.uid), gid: Number(user.gid), supplementalGroups: user.supplementalGroups.map(Number) },
    stopSignal: wire.stopSignal === UNKNOWN_SIGNAL ? undefined : wire.stopSignal,
  };
}

/** containerd and CRI-O put the process into the JSON that they call "info". */
export function pidOf(info: StringMap): number | undefined {
  if (info.info === undefined) return undefined;
  const { pid } = JSON.parse(info.info) as { pid?: unknown };
  return typeof pid === "number" && pid > 0 ? pid : undefined;
}

function linuxResourcesOf(wire: WireLinuxResources | undefined): LinuxContainerResources | undefined {
  if (wire === undefined) return undefined;
  return {
    cpuPeriod: Number(wire.cpuPeriod),
    cpuQuota: Number(wire.cpuQuota),
    cpuShares: Number(wire.cpuShares),
    memoryLimitInBytes: Number(wire.memoryLimitInBytes),
    oomScoreAdj: Number(wire.oomScoreAdj),
    cpusetCpus: wire.cpusetCpus,
    cpusetMems: wire.cpusetMems,
  };
}

export interface WireImage {
  id: string;
  repoTags: string[];
  repoDigests: string[];
  size: string;
  uid: WireValue | null;
  username: string;
  pinned: boolean;
}

export function imageOf(wire: WireImage): Image {
  return {
    id: wire.id,
    repoTags: wire.repoTags,
    repoDigests: wire.repoDigests,
    sizeBytes: Number(wire.size),
    uid: numberOf(wire.uid),
    username: wire.username,
    pinned: wire.pinned,
  };
}

export interface WireContainerStats {
  attributes: { id: string; metadata: { name: string } | null; labels: StringMap } | null;
  cpu: { timestamp: string; usageCoreNanoSeconds: WireValue | null } | null;
  memory: Record<
    "workingSetBytes" | "usageBytes" | "rssBytes" | "availableBytes" | "pageFaults" | "majorPageFaults",
    WireValue | null
  > | null;
  writableLayer: { usedBytes: WireValue | null; inodesUsed: WireValue | null } | null;
}

export function containerStatsOf(wire: WireContainerStats): ContainerStats {
  return {
    id: wire.attributes?.id ?? "",
    name: wire.attributes?.metadata?.name ?? "",
    labels: wire.attributes?.labels ?? {},
    timestamp: wire.cpu === null ? 0 : msOfNanos(wire.cpu.timestamp),
    cpuUsageNanoSeconds: numberOf(wire.cpu?.usageCoreNanoSeconds),
    memoryWorkingSetBytes: numberOf(wire.memory?.workingSetBytes),
    memoryUsageBytes: numberOf(wire.memory?.usageBytes),
    memoryRssBytes: numberOf(wire.memory?.rssBytes),
    memoryAvailableBytes: numberOf(wire.memory?.availableBytes),
    pageFaults: numberOf(wire.memory?.pageFaults),
    majorPageFaults: numberOf(wire.memory?.majorPageFaults),
    writableLayerBytes: numberOf(wire.writableLayer?.usedBytes),
    writableLayerInodes: numberOf(wire.writableLayer?.inodesUsed),
  };
}

export interface WireFilesystem {
  timestamp: string;
  fsId: { mountpoint: string } | null;
  usedBytes: WireValue | null;
  inodesUsed: WireValue | null;
}

export function filesystemOf(wire: WireFilesystem): FilesystemUsage {
  return {
    mountpoint: wire.fsId?.mountpoint ?? "",
    timestamp: msOfNanos(wire.timestamp),
    usedBytes: numberOf(wire.usedBytes) ?? 0,
    inodesUsed: numberOf(wire.inodesUsed) ?? 0,
  };
}

export interface WireEvent {
  containerId: string;
  containerEventType: string;
  createdAt: string;
  podSandboxStatus: WireSandboxStatus | null;
}

const EVENT_TYPES: Readonly<Record<string, RuntimeEvent["type"]>> = {
  CONTAINER_CREATED_EVENT: "created",
  CONTAINER_STARTED_EVENT: "started",
  CONTAINER_STOPPED_EVENT: "stopped",
  CONTAINER_DELETED_EVENT: "deleted",
};

export function eventOf(wire: WireEvent): RuntimeEvent {
  return {
    containerId: wire.containerId,
    type: EVENT_TYPES[wire.containerEventType] ?? "stopped",
    podUid: wire.podSandboxStatus?.metadata?.uid ?? "",
    createdAt: msOfNanos(wire.createdAt),
  };
}
