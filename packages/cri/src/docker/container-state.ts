/** Turns what Docker says of a container into the runtime interface's terms. Pure. */
import type { ContainerState, ContainerStatus, RuntimeContainer, Sandbox, SandboxState } from "../types.ts";
import type { EngineImage, InspectedContainer, ListedContainer } from "./engine-types.ts";
import type { ContainerRecord, SandboxRecord } from "./identity.ts";

/** Epoch milliseconds, with microseconds as fraction, of RFC 3339 with nanoseconds; 0 for Go's zero time and nonsense. */
export function msOfTime(text: string): number {
  const match = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)$/.exec(text);
  if (match === null) return 0;
  const ms = Date.parse(`${match[1]}${match[3]}`);
  if (Number.isNaN(ms) || ms <= 0) return 0;
  const micros = Math.trunc(Number(`0${match[2] ?? ".0"}`) * 1_000_000);
  return ms + micros / 1000;
}

/** A list tells a state by one word. "removing" and "dead" have ended; "paused" and "restarting" have not. */
function isRunningWord(word: string): boolean {
  return word === "running" || word === "paused" || word === "restarting";
}

export function sandboxState(word: string): SandboxState {
  return isRunningWord(word) ? "ready" : "notReady";
}

export function containerState(word: string): ContainerState {
  if (isRunningWord(word)) return "running";
  return word === "created" ? "created" : "exited";
}

export function sandboxOf(id: string, record: SandboxRecord, state: SandboxState, createdAt: number): Sandbox {
  const { metadata, labels, annotations, runtimeHandler } = record;
  return { id, metadata, state, createdAt, labels, annotations, runtimeHandler };
}

export function containerOf(listed: ListedContainer, sandboxId: string, record: ContainerRecord): RuntimeContainer {
  return {
    id: listed.Id,
    podSandboxId: sandboxId,
    name: record.name,
    attempt: record.attempt,
    image: record.image,
    imageRef: listed.ImageID,
    state: containerState(listed.State),
    createdAt: listed.Created * 1000,
    labels: record.labels,
    annotations: record.annotations,
  };
}

/** The reference by which a registry knows the image, its id where none does. */
export function imageRefOf(image: EngineImage | undefined, id: string): string {
  return image?.RepoDigests?.find((digest) => !digest.startsWith("<none>")) ?? id;
}

/**
 * The status of a container. One whose start failed stays "created" for Docker, with an exit code: it has ended for us.
 * Source: dockershim's reasons: Completed, Error, OOMKilled, ContainerCannotRun.
 */
export function containerStatusOf(
  inspected: InspectedContainer,
  record: ContainerRecord,
  image: EngineImage | undefined,
): ContainerStatus {
  const { State: state, HostConfig: host } = inspected;
  const createdAt = msOfTime(inspected.Created);
  return {
    id: inspected.Id,
    name: record.name,
    attempt: record.attempt,
    createdAt,
    ...lifeOf(state, createdAt),
    message: state.Error,
    image: image?.RepoTags?.find((tag) => !tag.startsWith("<none>")) ?? record.image,
    imageRef: imageRefOf(image, inspected.Image),
    imageId: inspected.Image,
    labels: record.labels,
    annotations: record.annotations,
    mounts: record.mounts,
    logPath: record.logPath,
    resources: {
      cpuPeriod: host.CpuPeriod,
      cpuQuota: host.CpuQuota,
      cpuShares: host.CpuShares,
      memoryLimitInBytes: host.Memory,
      oomScoreAdj: host.OomScoreAdj,
      cpusetCpus: host.CpusetCpus,
      cpusetMems: host.CpusetMems,
    },
    user: undefined,
    stopSignal: stopSignalOf(inspected.Config.StopSignal ?? ""),
  };
}

/** As CRI names signals; undefined for one that the image gives as a number. */
function stopSignalOf(text: string): string | undefined {
  if (text === "") return "SIGTERM";
  if (/^\d+$/.test(text)) return undefined;
  return text.startsWith("SIG") ? text : `SIG${text}`;
}

type Life = Pick<ContainerStatus, "state" | "startedAt" | "finishedAt" | "exitCode" | "reason">;

function lifeOf(state: InspectedContainer["State"], createdAt: number): Life {
  const startedAt = msOfTime(state.StartedAt);
  const finishedAt = msOfTime(state.FinishedAt);
  const exitCode = state.ExitCode;
  if (state.Running) return { state: "running", startedAt, finishedAt: 0, exitCode: 0, reason: "" };
  if (startedAt === 0 && exitCode === 0 && state.Error === "") {
    return { state: "created", startedAt: 0, finishedAt: 0, exitCode: 0, reason: "" };
  }
  if (startedAt === 0) {
    return { state: "exited", startedAt: createdAt, finishedAt: createdAt, exitCode, reason: "ContainerCannotRun" };
  }
  const reason = state.OOMKilled ? "OOMKilled" : exitCode === 0 ? "Completed" : "Error";
  return { state: "exited", startedAt, finishedAt, exitCode, reason };
}
