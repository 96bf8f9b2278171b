/** GET /containerLogs/NAMESPACE/POD/CONTAINER. Source: SEMANTICS of upstream's GetKubeletContainerLogs and its messages. */
import type { ServerResponse } from "node:http";
import { pipeline } from "node:stream/promises";
import type { ContainerStatus, PodStatus } from "@knarr/api/generated/types/core-v1.ts";
import { isRuntimeNotFound } from "@knarr/cri/runtime-error.ts";
import { type LogOptions, parseLogOptions } from "../core/log-line.ts";
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
    throw new HttpError(422, (error as Error).message);
  }
  const worker = serving.pods.find(target.namespace, target.pod);
  if (worker === undefined) throw new HttpError(404, `pod "${target.pod}" does not exist\n`);
  const { containers = [], initContainers = [], ephemeralContainers = [] } = worker.pod.spec ?? {};
  if (![...containers, ...initContainers, ...ephemeralContainers].some(({ name }) => name === target.container)) {
    throw new HttpError(404, `container "${target.container}" not found in pod "${target.pod}"\n`);
  }
  const id = loggedContainer(status.current(worker.pod), target, options.previous);
  const { logPath } = await runtime.containerStatus(id).catch((error: unknown) => {
    if (isRuntimeNotFound(error))
      throw new HttpError(400, `unable to retrieve container logs for ${runtimeName}://${id}`);
    throw error;
  });
  const gone = new AbortController();
  response.once("close", () => gone.abort());
  const isRunning = async () => {
    const state = await runtime.containerStatus(id).catch(() => undefined);
    return state?.state === "running";
  };
  response.writeHead(200, { "content-type": "text/plain; charset=utf-8" });
  response.flushHeaders();
  try {
    await pipeline(readLog(logPath, { ...options, signal: gone.signal, isRunning }), response);
  } catch (error) {
    // The client went away, or the log did with its pod: the answer just ends.
    if (!gone.signal.aborted) serving.context.log.debug({ err: error }, "log stream ended early");
    response.destroy();
  }
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
  const id =
    state?.running !== undefined
      ? status.containerID
      : (state?.terminated?.containerID ??
        lastState?.terminated?.containerID ??
        (state?.terminated && status.containerID));
  if (id !== undefined && id !== "") return id;
  const reason = state?.waiting?.reason ?? "";
  const why = WAITING_TEXT[reason] ?? reason;
  throw new HttpError(400, `container "${status.name}" in pod "${pod}" is waiting to start: ${why}`);
}
