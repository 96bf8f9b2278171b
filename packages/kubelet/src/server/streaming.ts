/**
 * exec, attach and port-forward: upgraded connections. SPDY goes to the runtime's streaming server byte for byte; WebSockets
 * are translated (streams/).
 */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { dialUpgrade } from "@knarr/cri/dial-upgrade.ts";
import { type WebSocket, WebSocketServer } from "ws";
import { observe } from "../pods/observe.ts";
import type { PodWorker } from "../pods/pod-worker.ts";
import { bridgeExec, type ExecStreams } from "../streams/bridge-exec.ts";
import { bridgePortForward } from "../streams/bridge-port-forward.ts";
import {
  chooseProtocol,
  EXEC_PROTOCOLS,
  PORT_FORWARD_PROTOCOLS,
  TUNNEL_PROTOCOL,
} from "../streams/web-socket-channels.ts";
import { HttpError, NOT_FOUND, PAGE_NOT_FOUND } from "./http-error.ts";
import type { Serving } from "./serving.ts";

export interface UpgradeRequest {
  readonly request: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
  readonly parts: readonly string[];
  readonly query: URLSearchParams;
}

const webSockets = new WebSocketServer({ noServer: true, maxPayload: 32 * 1024 * 1024 });

/** Agreed protocols, answered by us: `ws` refuses names with a slash in them, and the tunnel's has one. */
const agreed = new WeakMap<IncomingMessage, string>();
webSockets.on("headers", (headers: string[], request: IncomingMessage) => {
  const protocol = agreed.get(request) ?? "";
  if (protocol !== "") headers.push(`Sec-WebSocket-Protocol: ${protocol}`);
});

const isOn = (query: URLSearchParams, ...names: string[]) =>
  names.some((name) => ["1", "true", "True", "TRUE", "t"].includes(query.get(name) ?? ""));

function execStreams(query: URLSearchParams): ExecStreams {
  const tty = isOn(query, "tty");
  return {
    tty,
    stdin: isOn(query, "input", "stdin"),
    stdout: isOn(query, "output", "stdout"),
    // A terminal has one output.
    stderr: isOn(query, "error", "stderr") && !tty,
  };
}

/**
 * /exec|attach/NS/POD[/UID]/CONTAINER, /portForward/NS/POD[/UID]. Throws HttpError, with upstream's codes: what the kubelet
 * itself does not find is 404, what is not there to stream from is 500.
 */
export async function serveUpgrade(serving: Serving, upgrade: UpgradeRequest): Promise<void> {
  const [kind = "", ...rest] = upgrade.parts;
  const tunnels = (upgrade.request.headers["sec-websocket-protocol"] ?? "").includes(TUNNEL_PROTOCOL);
  const needsPorts = isWebSocket(upgrade.request) && !tunnels;
  const target = await checkStream(serving, kind, rest.map(decodeURIComponent), upgrade.query, needsPorts);
  if (target.kind === "portForward") await servePortForward(serving, upgrade, target.id, target.ports);
  else await serveExec(serving, upgrade, target.kind, target.id);
}

interface StreamTarget {
  readonly kind: "exec" | "attach" | "portForward";
  /** Of the container; of the sandbox, where ports are forwarded. */
  readonly id: string;
  readonly ports: readonly number[];
}

/** What a request is to be joined to. Throws HttpError for what is wrong with it, in upstream's order. */
export async function checkStream(
  serving: Serving,
  kind: string,
  parts: readonly string[],
  query: URLSearchParams,
  needsPorts = false,
): Promise<StreamTarget> {
  switch (kind) {
    case "exec":
    case "attach": {
      if (parts.length !== 3 && parts.length !== 4) throw new HttpError(404, PAGE_NOT_FOUND);
      const streams = execStreams(query);
      if (!streams.stdin && !streams.stdout && !streams.stderr) {
        throw new HttpError(400, "you must specify at least 1 of stdin, stdout, stderr");
      }
      return { kind, id: await runningContainer(serving, findPod(serving, parts), parts), ports: [] };
    }
    case "portForward": {
      if (parts.length !== 2 && parts.length !== 3) throw new HttpError(404, PAGE_NOT_FOUND);
      const ports = needsPorts ? forwardedPorts(query) : [];
      return { kind, id: await readySandbox(serving, findPod(serving, parts), parts), ports };
    }
    default:
      throw new HttpError(404, NOT_FOUND);
  }
}

/** Throws HttpError 404. */
export function findPod(serving: Serving, [namespace = "", pod = ""]: readonly string[]): PodWorker {
  const worker = serving.pods.find(namespace, pod);
  if (worker === undefined) throw new HttpError(404, "pod does not exist");
  return worker;
}

/** The id of the container that the path's last part names. Throws HttpError 500, also when the path has another UID. */
export async function runningContainer(serving: Serving, worker: PodWorker, parts: readonly string[]): Promise<string> {
  const name = parts.at(-1) ?? "";
  const other = parts.length === 4 && parts[2] !== worker.uid;
  const { containers } = await observe(serving.context.runtime, worker.uid);
  const running = other ? undefined : containers.find((c) => c.name === name && c.state === "running");
  if (running === undefined) throw new HttpError(500, `container not found (${JSON.stringify(name)})`);
  return running.id;
}

/** The id of the sandbox that ports are forwarded to. Throws HttpError. */
async function readySandbox(serving: Serving, worker: PodWorker, parts: readonly string[]): Promise<string> {
  if (parts.length === 3 && parts[2] !== worker.uid) throw new HttpError(404, "pod not found");
  const { sandboxes } = await observe(serving.context.runtime, worker.uid);
  const ready = sandboxes.find((s) => s.state === "ready");
  if (ready !== undefined) return ready.id;
  const { name, namespace } = worker.pod.metadata;
  throw new HttpError(500, `pod not found ("${name}_${namespace}")`);
}

async function serveExec(
  serving: Serving,
  upgrade: UpgradeRequest,
  kind: "exec" | "attach",
  containerId: string,
): Promise<void> {
  const { runtime } = serving.context;
  const streams = execStreams(upgrade.query);
  const command = upgrade.query.getAll("command");
  const url =
    kind === "exec"
      ? await runtime.execUrl(containerId, command, streams)
      : await runtime.attachUrl(containerId, streams);
  if (isWebSocket(upgrade.request)) {
    const protocol = agree(upgrade.request, EXEC_PROTOCOLS);
    const client = await acceptWebSocket(upgrade, protocol);
    try {
      await bridgeExec(client, protocol, url, streams);
    } catch (error) {
      serving.context.log.warn({ err: error }, "exec stream failed");
      client.close(1011, "the runtime's stream failed");
    }
    return;
  }
  await passThrough(upgrade, url);
}

async function servePortForward(
  serving: Serving,
  upgrade: UpgradeRequest,
  sandboxId: string,
  ports: readonly number[],
): Promise<void> {
  const url = await serving.context.runtime.portForwardUrl(sandboxId, ports);
  if (!isWebSocket(upgrade.request)) return await passThrough(upgrade, url);
  const protocol = agree(upgrade.request, PORT_FORWARD_PROTOCOLS);
  const client = await acceptWebSocket(upgrade, protocol);
  try {
    await bridgePortForward(client, protocol, url, ports);
  } catch (error) {
    serving.context.log.warn({ err: error }, "port-forward stream failed");
    client.close(1011, "the runtime's stream failed");
  }
}

/** Source: portforward.NewV4Options */
function forwardedPorts(query: URLSearchParams): number[] {
  const texts = query.getAll("port").flatMap((text) => text.split(","));
  if (texts.length === 0) throw new HttpError(400, 'query parameter "port" is required');
  return texts.map((text) => {
    const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
    if (port === 0) throw new HttpError(400, `port ${JSON.stringify(text)} must be > 0`);
    if (port <= 65535) return port;
    const why = /^\d+$/.test(text) ? "value out of range" : "invalid syntax";
    const error = `strconv.ParseUint: parsing ${JSON.stringify(text)}: ${why}`;
    throw new HttpError(400, `unable to parse ${JSON.stringify(text)} as a port: ${error}`);
  });
}

function isWebSocket(request: IncomingMessage): boolean {
  return (request.headers.upgrade ?? "").toLowerCase() === "websocket";
}

function agree(request: IncomingMessage, ours: readonly string[]): string {
  const offered = (request.headers["sec-websocket-protocol"] ?? "")
    .split(",")
    .map((p) => p.trim())
    .filter((p) => p !== "");
  const protocol = chooseProtocol(offered, ours);
  if (protocol === undefined) {
    throw new HttpError(
      400,
      `unable to upgrade: unsupported protocols: ${offered.join(", ")}; supported: ${ours.join(", ")}`,
    );
  }
  return protocol;
}

function acceptWebSocket({ request, socket, head }: UpgradeRequest, protocol: string): Promise<WebSocket> {
  const { promise, resolve } = Promise.withResolvers<WebSocket>();
  agreed.set(request, protocol);
  delete request.headers["sec-websocket-protocol"];
  webSockets.handleUpgrade(request, socket, head, resolve);
  return promise;
}

/** Repeats the client's upgrade to the runtime and joins the two connections. */
async function passThrough({ request, socket, head }: UpgradeRequest, url: string): Promise<void> {
  const headers: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(request.headers)) {
    const kept = name === "upgrade" || name.startsWith("x-stream-protocol");
    if (kept && value !== undefined) headers[name] = value;
  }
  const backend = await dialUpgrade(url, headers);
  const lines = [`HTTP/1.1 101 ${backend.statusMessage}`];
  for (let i = 0; i + 1 < backend.rawHeaders.length; i += 2) {
    lines.push(`${backend.rawHeaders[i]}: ${backend.rawHeaders[i + 1]}`);
  }
  socket.write(`${lines.join("\r\n")}\r\n\r\n`);
  if (backend.head.length > 0) socket.write(backend.head);
  if (head.length > 0) backend.socket.write(head);
  await new Promise<void>((resolve) => {
    for (const [from, to] of [
      [socket, backend.socket],
      [backend.socket, socket],
    ] as const) {
      from.on("error", () => to.destroy());
      from.once("close", () => {
        to.destroy();
        resolve();
      });
      from.pipe(to);
    }
  });
}
