/** GET /containerLogs/NAMESPACE/POD/CONTAINER. Source: SEMANTICS of upstream's GetKubeletContainerLogs and its messages. */
import type { ServerResponse } from "node:http";
import { pipeline } from "node:stream/promises";
import type { ContainerStatus, PodStatus } from "@knarr/api/generated/types/core-v1.ts";
import { RuntimeError } from "@knarr/cri/runtime-error.ts";
import { type LogOptions, LogQueryError, parseLogOptions } from "../core/log-line.ts";
import { HttpError } from "./http-error.ts";
import { readLog } from "./read-log.ts";
import type { Serving } from "./serving.ts";

export interface ContainerPath {
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
}

export async function serveContainerLogs(
  serving: Serving,
  target: ContainerPath,
  query: URLSearchParams,
  response: ServerResponse,
): Promise<void> {
  const { runtime, runtimeName, clock, status } = serving.context;
  let options: LogOptions;
  try {
    options = parseLogOptions(query, clock.now());
  } catch (error) {
    if (error instanceof LogQueryError) throw new HttpError(error.status, error.message);
    throw error;
  }
  const worker = serving.pods.find(target.namespace, target.pod);
  if (worker === undefined) throw new HttpError(404, `pod "${target.pod}" does not exist`);
  const { containers = [], initContainers = [], ephemeralContainers = [] } = worker.pod.spec ?? {};
  if (![...containers, ...initContainers, ...ephemeralContainers].some(({ name }) => name === target.container)) {
    throw new HttpError(404, `container "${target.container}" not found in pod "${target.pod}"`);
  }
  const id = loggedContainer(status.current(worker.pod), target, options.previous);
  const gone = new AbortController();
  response.once("close", () => gone.abort());
  const isRunning = async () => {
    const state = await runtime.containerStatus(id).catch(() => undefined);
    return state?.state === "running";
  };
  response.writeHead(200, { "content-type": "text/plain; charset=utf-8" });
  response.flushHeaders();
  try {
    // Source: upstream answers 200 before it asks the runtime: what goes wrong from here on is told in the answer's text.
    const { logPath } = await runtime.containerStatus(id);
    await pipeline(readLog(logPath, { ...options, signal: gone.signal, isRunning }), response);
  } catch (error) {
    if (gone.signal.aborted) return;
    serving.context.log.debug({ err: error }, "log stream ended early");
    response.end(problem(error, `${runtimeName}://${id}`));
  }
}

function problem(error: unknown, id: string): string {
  if (error instanceof RuntimeError) return `unable to retrieve container logs for ${id}`;
  const { code, path, message } = error as NodeJS.ErrnoException;
  if (code !== "ENOENT") return message;
  return `failed to try resolving symlinks in path "${path}": lstat ${path}: no such file or directory`;
}

function loggedContainer(status: PodStatus, { pod, container }: ContainerPath, previous: boolean): string {
  const all = [
    ...(status.initContainerStatuses ?? []),
    ...(status.containerStatuses ?? []),
    ...(status.ephemeralContainerStatuses ?? []),
  ];
  const found = all.find((s) => s.name === container);
  if (found === undefined) throw new HttpError(400, `container "${container}" in pod "${pod}" is not available`);
  const id = previous ? previousId(found, pod) : currentId(found, pod);
  return id.replace(/^.*:\/\//, "");
}

function previousId(status: ContainerStatus, pod: string): string {
  const id = status.lastState?.terminated?.containerID ?? "";
  if (id === "") throw new HttpError(400, `previous terminated container "${status.name}" in pod "${pod}" not found`);
  return id;
}

const WAITING_TEXT: Readonly<Record<string, string>> = {
  ErrImagePull: "image can't be pulled",
  ImagePullBackOff: "trying and failing to pull image",
};

function currentId(status: ContainerStatus, pod: string): string {
  const { state, lastState } = status;
  if (state?.running !== undefined && status.containerID !== undefined) return status.containerID;
  const ended = state?.terminated ?? lastState?.terminated;
  if (ended !== undefined) {
    // Where the next one did not start, the logs of the one before are what there is.
    for (const id of [state?.terminated?.containerID, lastState?.terminated?.containerID]) {
      if (id !== undefined && id !== "") return id;
    }
    throw new HttpError(400, `container "${status.name}" in pod "${pod}" is terminated`);
  }
  const reason = state?.waiting?.reason ?? "";
  const why = WAITING_TEXT[reason] ?? reason;
  throw new HttpError(400, `container "${status.name}" in pod "${pod}" is waiting to start: ${why}`);
}
