/**
 * What the kubelet's API answers, by the first part of the path; upgrades are streaming.ts's. Who may ask was judged before.
 * Source: k8s.io/kubernetes/pkg/kubelet/server/server.go
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { renderHealth } from "@knarr/daemon/health-server.ts";
import { Labels } from "../core/observed-pod.ts";
import { cadvisorMetrics } from "./cadvisor-metrics.ts";
import { checkpoint } from "./checkpoint.ts";
import { configz } from "./configz.ts";
import { serveContainerLogs } from "./container-logs.ts";
import { DiskUsages } from "./disk-usage.ts";
import { HttpError, METHOD_NOT_ALLOWED, NOT_FOUND, PAGE_NOT_FOUND, sendJson, sendText } from "./http-error.ts";
import { serveNodeLogs } from "./node-logs.ts";
import { resourceMetrics } from "./resource-metrics.ts";
import { runningMetrics } from "./running-metrics.ts";
import { healthProblem, type Serving } from "./serving.ts";
import { statsSummary } from "./stats-summary.ts";
import { checkStream, findPod, runningContainer } from "./streaming.ts";
import { volumeMetrics } from "./volume-metrics.ts";

export interface Call {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly path: string;
  /** The path's parts after its first. */
  readonly parts: readonly string[];
  readonly query: URLSearchParams;
}

type Handler = (serving: Serving, call: Call) => Promise<void>;

const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";
const NODE_LOGS = "/var/log";
const disks = new WeakMap<Serving, DiskUsages>();

/** Those that --enable-debugging-handlers=false takes away. */
const DEBUGGING = new Set([
  "run",
  "exec",
  "attach",
  "portForward",
  "containerLogs",
  "runningpods",
  "logs",
  "checkpoint",
]);
const GET_ONLY = new Set(["pods", "runningpods", "containerLogs", "logs", "stats", "configz"]);

const HANDLERS: Readonly<Record<string, Handler>> = {
  healthz: serveHealthz,
  pods: async (serving, { response, parts }) => {
    if (parts.length > 0) throw new HttpError(404, PAGE_NOT_FOUND);
    const pods = serving.pods.list().map(({ pod }) => pod);
    sendJson(response, podList(pods, serving));
  },
  runningpods: async (serving, { response, parts }) => {
    if (parts.length > 0) throw new HttpError(404, PAGE_NOT_FOUND);
    sendJson(response, runningPods(serving));
  },
  configz: async ({ config }, { response }) => sendJson(response, configz(config)),
  metrics: serveMetrics,
  stats: serveStats,
  logs: async ({ config }, { response, path, query }) => {
    if (!config.enableSystemLogHandler) throw new HttpError(405, "logs endpoint is disabled.\n");
    const options = { root: NODE_LOGS, queries: config.enableSystemLogQuery };
    await serveNodeLogs(options, decodeURIComponent(path.slice("/logs".length)), query, response);
  },
  containerLogs: async (serving, { response, parts, query }) => {
    const [namespace = "", pod = "", container = ""] = parts.map(decodeURIComponent);
    if (parts.length !== 3) throw new HttpError(404, PAGE_NOT_FOUND);
    await serveContainerLogs(serving, { namespace, pod, container }, query, response);
  },
  checkpoint: async (serving, { request, response, parts, query }) => {
    if (request.method !== "POST") throw new HttpError(405, METHOD_NOT_ALLOWED, { allow: "POST" });
    if (parts.length !== 3) throw new HttpError(404, PAGE_NOT_FOUND);
    sendJson(response, await checkpoint(serving, parts.map(decodeURIComponent), query));
  },
  run: serveRun,
  exec: needsUpgrade,
  attach: needsUpgrade,
  portForward: needsUpgrade,
  debug: async (_serving, { parts }) => {
    if (parts[0] === "pprof") throw new HttpError(405, "profiling endpoint is disabled.\n");
    if (parts[0] === "flags") throw new HttpError(405, "flags endpoint is disabled.\n");
    throw new HttpError(404, NOT_FOUND);
  },
};

/** Throws HttpError for what is not there, not allowed or switched off. */
export async function handle(serving: Serving, first: string, call: Call): Promise<void> {
  const handler = Object.hasOwn(HANDLERS, first) ? HANDLERS[first] : undefined;
  if (handler === undefined) throw new HttpError(404, NOT_FOUND);
  if (!serving.config.enableDebuggingHandlers && DEBUGGING.has(first)) throw debuggingDisabled();
  if (GET_ONLY.has(first) && call.request.method !== "GET") {
    throw new HttpError(405, "Method Not Allowed", { allow: "GET" });
  }
  await handler(serving, call);
}

export function debuggingDisabled(): HttpError {
  return new HttpError(405, "Debug endpoints are disabled.\n");
}

async function serveHealthz(serving: Serving, { response, parts, query }: Call): Promise<void> {
  const all = { ping: () => undefined, log: () => undefined, syncloop: () => healthProblem(serving) };
  const [name] = parts;
  const one = name !== undefined && Object.hasOwn(all, name) ? all[name as keyof typeof all] : undefined;
  if (name !== undefined && one === undefined) throw new HttpError(404, NOT_FOUND);
  const checks = name === undefined || one === undefined ? all : { [name]: one };
  const options = { verbose: name === undefined && query.has("verbose"), exclude: query.getAll("exclude") };
  const { ok, text } = await renderHealth("healthz", checks, options);
  sendText(response, ok ? 200 : 500, ok && !options.verbose ? "ok" : text);
}

async function serveMetrics(serving: Serving, { response, parts }: Call): Promise<void> {
  const [which] = parts;
  if (parts.length > 1) throw new HttpError(404, NOT_FOUND);
  switch (which) {
    case undefined:
      return sendText(response, 200, await ownMetrics(serving), METRICS_TYPE);
    case "resource":
      return sendText(response, 200, await resourceMetrics(serving), METRICS_TYPE);
    case "cadvisor":
      return sendText(response, 200, await cadvisorMetrics(serving), METRICS_TYPE);
    case "probes":
      return sendText(response, 200, await serving.probeMetrics.registry.metrics(), METRICS_TYPE);
    default:
      throw new HttpError(404, NOT_FOUND);
  }
}

async function serveStats(serving: Serving, { response, parts, query }: Call): Promise<void> {
  if (parts.length !== 1 || parts[0] !== "summary") throw new HttpError(404, PAGE_NOT_FOUND);
  const only = query.get("only_cpu_and_memory") ?? "";
  sendJson(response, await statsSummary(serving, disksOf(serving), /^(1|t|T|true|TRUE|True)$/.test(only)));
}

function disksOf(serving: Serving): DiskUsages {
  const kept = disks.get(serving) ?? new DiskUsages(serving.context.clock);
  disks.set(serving, kept);
  return kept;
}

async function ownMetrics(serving: Serving): Promise<string> {
  const volumes = await volumeMetrics(serving, disksOf(serving));
  return `${await serving.metrics.registry.metrics()}${runningMetrics(serving)}${volumes}`;
}

/** exec, attach and port-forward without an upgrade: everything else is judged first, as upstream does. */
async function needsUpgrade(serving: Serving, { request, path, parts, query }: Call): Promise<void> {
  if (request.method !== "GET" && request.method !== "POST") {
    throw new HttpError(405, METHOD_NOT_ALLOWED, { allow: "GET, POST" });
  }
  await checkStream(serving, path.split("/")[1] ?? "", parts.map(decodeURIComponent), query);
  throw new HttpError(500, "Upgrade request required\n");
}

/** POST /run/NS/POD[/UID]/CONTAINER?cmd=...: a command to its end, its output as the answer. */
async function serveRun(serving: Serving, { request, response, parts, query }: Call): Promise<void> {
  if (parts.length !== 3 && parts.length !== 4) throw new HttpError(404, PAGE_NOT_FOUND);
  if (request.method !== "POST") throw new HttpError(405, METHOD_NOT_ALLOWED, { allow: "POST" });
  const path = parts.map(decodeURIComponent);
  const containerId = await runningContainer(serving, findPod(serving, path), path);
  const command = (query.get("cmd") ?? "").split(" ");
  const { stdout, stderr, exitCode } = await serving.context.runtime.execSync(containerId, command, 0);
  if (exitCode !== 0) {
    throw new HttpError(500, `command '${command.join(" ")}' exited with ${exitCode}: ${stderr.toString()}`);
  }
  sendText(response, 200, Buffer.concat([stdout, stderr]).toString(), "application/json");
}

function podList(pods: readonly Pod[], { context }: Serving): object {
  const items = pods.map((pod) => ({ ...pod, status: context.status.current(pod) }));
  return { kind: "PodList", apiVersion: "v1", metadata: {}, items };
}

/** As the runtime has them, not as they should be. Source: kubecontainer.Pod.ToAPIPod */
function runningPods({ relist }: Serving): object {
  const containers = (relist.snapshot?.containers ?? []).filter((c) => c.state === "running");
  const byPod = Map.groupBy(containers, (c) => c.labels[Labels.podUid] ?? "");
  const items = [...byPod].map(([uid, running]) => {
    const labels = running[0]?.labels ?? {};
    const spec = { containers: running.map(({ name, image }) => ({ name, image, resources: {} })) };
    return {
      metadata: { name: labels[Labels.podName], namespace: labels[Labels.podNamespace], uid },
      spec,
      status: {},
    };
  });
  return { kind: "PodList", apiVersion: "v1", metadata: {}, items };
}
