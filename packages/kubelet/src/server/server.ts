/**
 * The kubelet's HTTPS server on 10250. Every request is authenticated and authorised before anything else; then one table
 * of paths answers it.
 */

import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { isRuntimeNotFound } from "@knarr/cri/runtime-error.ts";
import { watchTlsFiles } from "@knarr/daemon/tls-files.ts";
import { collectDefaultMetrics, Registry } from "prom-client";
import { observe } from "../pods/observe.ts";
import { Authorizer } from "./authorize.ts";
import { serveContainerLogs } from "./container-logs.ts";
import { HttpError, sendJson, sendText } from "./http-error.ts";
import { healthProblem, type Serving } from "./serving.ts";
import { loadServingTls } from "./serving-tls.ts";
import { resourceMetrics, statsSummary } from "./stats.ts";
import { serveUpgrade } from "./streaming.ts";

interface Call {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** The path's parts after its first. */
  readonly parts: readonly string[];
  readonly query: URLSearchParams;
}

type Handler = (serving: Serving, call: Call) => Promise<void>;

/** By the first part of the path. */
const HANDLERS: Readonly<Record<string, Handler>> = {
  healthz: async (serving, { response }) => {
    const problem = healthProblem(serving);
    sendText(response, problem === undefined ? 200 : 500, problem ?? "ok");
  },
  pods: async (serving, { response }) =>
    sendJson(
      response,
      podList(serving, () => true),
    ),
  runningpods: async (serving, { response }) =>
    sendJson(
      response,
      podList(serving, (uid) => isRunning(serving, uid)),
    ),
  configz: async (serving, { response }) => sendJson(response, { kubeletconfig: configz(serving) }),
  metrics: async (serving, { response, parts }) => {
    if (parts[0] === "resource") return sendText(response, 200, await resourceMetrics(serving), METRICS_TYPE);
    if (parts.length > 0) throw new HttpError(404, "404 page not found\n");
    sendText(response, 200, `${await registry.metrics()}${podMetrics(serving)}`, registry.contentType);
  },
  stats: async (serving, { response, parts }) => {
    if (parts[0] !== "summary") throw new HttpError(404, "404 page not found\n");
    sendJson(response, await statsSummary(serving));
  },
  containerLogs: async (serving, { response, parts, query }) => {
    const [namespace = "", pod = "", container = ""] = parts.map(decodeURIComponent);
    await serveContainerLogs(serving, { namespace, pod, container }, query, response);
  },
  run: serveRun,
  exec: needsUpgrade,
  attach: needsUpgrade,
  portForward: needsUpgrade,
};

const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";
const registry = new Registry();
// Its default of 10 ms is most of what an idle daemon does.
collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 200 });

/** Upstream's own gauges of what runs. */
function podMetrics({ config, pods, relist }: Serving): string {
  const containers = relist.snapshot?.containers ?? [];
  const running = containers.filter((c) => c.state === "running").length;
  const exited = containers.filter((c) => c.state === "exited").length;
  const active = pods.list().filter((w) => isRunning({ relist }, w.uid)).length;
  return `
# HELP kubelet_node_name [ALPHA] The node's name. The count is always 1.
# TYPE kubelet_node_name gauge
kubelet_node_name{node="${config.nodeName}"} 1
# HELP kubelet_running_pods [BETA] Number of pods that have a running pod sandbox
# TYPE kubelet_running_pods gauge
kubelet_running_pods ${active}
# HELP kubelet_running_containers [BETA] Number of containers currently running
# TYPE kubelet_running_containers gauge
kubelet_running_containers{container_state="exited"} ${exited}
kubelet_running_containers{container_state="running"} ${running}
`;
}

async function needsUpgrade(): Promise<void> {
  throw new HttpError(400, "Upgrade request required");
}

/** POST /run/NS/POD/CONTAINER?cmd=...: a command to its end, its output as the answer. */
async function serveRun(serving: Serving, { request, response, parts, query }: Call): Promise<void> {
  if (request.method !== "POST") throw new HttpError(405, "Method Not Allowed");
  const [namespace = "", pod = "", container = ""] = parts.map(decodeURIComponent);
  const worker = serving.pods.find(namespace, pod);
  if (worker === undefined) throw new HttpError(404, "pod does not exist");
  const { runtime } = serving.context;
  const running = (await observe(runtime, worker.uid)).containers.find(
    (c) => c.name === container && c.state === "running",
  );
  if (running === undefined) throw new HttpError(404, "container not found");
  const command = (query.get("cmd") ?? "").split(" ").filter((word) => word !== "");
  const { stdout, stderr } = await runtime.execSync(running.id, command, 0);
  sendText(response, 200, Buffer.concat([stdout, stderr]).toString());
}

function podList(serving: Serving, keep: (uid: string) => boolean): object {
  const items = serving.pods
    .list()
    .filter((worker) => keep(worker.uid))
    .map(({ pod }) => ({ ...pod, status: serving.context.status.current(pod) }));
  return { kind: "PodList", apiVersion: "v1", metadata: {}, items };
}

function isRunning({ relist }: Pick<Serving, "relist">, uid: string): boolean {
  const containers = relist.snapshot?.containers ?? [];
  return containers.some((c) => c.state === "running" && c.labels["io.kubernetes.pod.uid"] === uid);
}

/** The configuration in effect, with the file's field names where they are the flags'. */
function configz({ config }: Serving): object {
  return Object.fromEntries(
    Object.entries(config).map(([key, value]) =>
      key.endsWith("Ms") ? [key.slice(0, -2), `${(value as number) / 1000}s`] : [key, value],
    ),
  );
}

/** Resolves once the server listens; `closed` when the signal aborted and it is closed. */
export async function startServer(serving: Serving, signal: AbortSignal): Promise<{ readonly closed: Promise<void> }> {
  const { config, context, client } = serving;
  const tls = await loadServingTls(config);
  const authorizer = new Authorizer({
    client,
    clock: context.clock,
    nodeName: config.nodeName,
    anonymous: config.anonymousAuth,
    mode: config.authorizationMode,
  });
  const server = createServer({ ...tls.material, requestCert: true, rejectUnauthorized: false });
  // Source: Go's clients keep idle connections for 90 s; a server that closes sooner breaks their next request.
  server.keepAliveTimeout = 120_000;
  server.requestTimeout = 0;
  server.on("request", (request, response) => void answer(serving, authorizer, request, response));
  server.on("upgrade", (request, socket, head) => void answerUpgrade(serving, authorizer, request, socket, head));
  server.on("tlsClientError", (error) => context.log.debug({ err: error }, "TLS handshake failed"));
  await listen(server, config.port, config.address);
  serving.onPort((server.address() as AddressInfo).port);
  const { paths } = tls;
  if (paths !== undefined) {
    const { clock, log } = context;
    watchTlsFiles({ paths, current: tls.material, clock, log }, (m) => server.setSecureContext({ ...m }), signal).catch(
      (error: unknown) => {
        if (!signal.aborted) log.error({ err: error }, "serving certificate is no longer watched");
      },
    );
  }
  return { closed: closeOnAbort(server, signal) };
}

function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

/** Streams may last for hours: at the end they are cut. */
function closeOnAbort(server: Server, signal: AbortSignal): Promise<void> {
  const sockets = new Set<Socket>();
  server.on("secureConnection", (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
  });
  return new Promise((resolve) => {
    const stop = () => {
      server.close(() => resolve());
      for (const socket of sockets) socket.destroy();
    };
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
  });
}

function pathOf(request: IncomingMessage): { path: string; parts: string[]; query: URLSearchParams } {
  const url = new URL(request.url ?? "/", "https://kubelet");
  return { path: url.pathname, parts: url.pathname.split("/").filter((p) => p !== ""), query: url.searchParams };
}

async function answer(serving: Serving, authorizer: Authorizer, request: IncomingMessage, response: ServerResponse) {
  try {
    const { path, parts, query } = pathOf(request);
    await authorizer.check(request, path);
    const handler = HANDLERS[parts[0] ?? ""];
    if (handler === undefined) throw new HttpError(404, "404 page not found\n");
    await handler(serving, { request, response, parts: parts.slice(1), query });
  } catch (error) {
    const { status, message } = problemOf(serving, error);
    if (response.headersSent) response.destroy();
    else sendText(response, status, message);
  }
}

async function answerUpgrade(
  serving: Serving,
  authorizer: Authorizer,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
) {
  socket.on("error", () => socket.destroy());
  try {
    const { path, parts, query } = pathOf(request);
    await authorizer.check(request, path);
    await serveUpgrade(serving, { request, socket, head, parts, query });
  } catch (error) {
    const { status, message } = problemOf(serving, error);
    const lines = [
      `HTTP/1.1 ${status} Refused`,
      "content-type: text/plain; charset=utf-8",
      `content-length: ${Buffer.byteLength(message)}`,
      "connection: close",
    ];
    socket.end(`${lines.join("\r\n")}\r\n\r\n${message}`);
  }
}

function problemOf({ context }: Serving, error: unknown): { status: number; message: string } {
  if (error instanceof HttpError) return error;
  // A path that is not percent-encoded rightly.
  if (error instanceof URIError) return { status: 400, message: "malformed path" };
  if (isRuntimeNotFound(error)) return { status: 404, message: (error as Error).message };
  context.log.error({ err: error }, "request failed");
  return { status: 500, message: error instanceof Error ? error.message : String(error) };
}
