/**
 * exec, attach and port-forward: upgraded connections. SPDY goes to the runtime's streaming server byte for byte; WebSockets
 * are translated (streams/).
 */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { dialUpgrade } from "@knarr/cri/dial-upgrade.ts";
import { type WebSocket, WebSocketServer } from "ws";
import { observe } from "../pods/observe.ts";
import { bridgeExec, type ExecStreams } from "../streams/bridge-exec.ts";
import { bridgePortForward } from "../streams/bridge-port-forward.ts";
import { chooseProtocol, EXEC_PROTOCOLS, PORT_FORWARD_PROTOCOLS } from "../streams/web-socket-channels.ts";
import { HttpError } from "./http-error.ts";
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

/** /exec|attach/NS/POD/CONTAINER (an older form has the pod's UID in between), /portForward/NS/POD. Throws HttpError. */
export async function serveUpgrade(serving: Serving, upgrade: UpgradeRequest): Promise<void> {
  const [kind = "", namespace = "", pod = ""] = upgrade.parts;
  const worker = serving.pods.find(decodeURIComponent(namespace), decodeURIComponent(pod));
  if (worker === undefined) throw new HttpError(404, "pod does not exist");
  const observed = await observe(serving.context.runtime, worker.uid);
  switch (kind) {
    case "exec":
    case "attach": {
      const container = decodeURIComponent(upgrade.parts.at(-1) ?? "");
      const running = observed.containers.find((c) => c.name === container && c.state === "running");
      if (running === undefined) throw new HttpError(404, `container not found ("${container}")`);
      return await serveExec(serving, upgrade, kind, running.id);
    }
    case "portForward": {
      const sandbox = observed.sandboxes.find((s) => s.state === "ready");
      if (sandbox === undefined) throw new HttpError(404, `pod ${pod} has no running sandbox`);
      return await servePortForward(serving, upgrade, sandbox.id);
    }
    default:
      throw new HttpError(404, "404 page not found");
  }
}

async function serveExec(
  serving: Serving,
  upgrade: UpgradeRequest,
  kind: "exec" | "attach",
  containerId: string,
): Promise<void> {
  const { runtime } = serving.context;
  const streams = execStreams(upgrade.query);
  if (!streams.stdin && !streams.stdout && !streams.stderr) {
    throw new HttpError(400, "you must specify at least 1 of stdin, stdout, stderr");
  }
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

async function servePortForward(serving: Serving, upgrade: UpgradeRequest, sandboxId: string): Promise<void> {
  const ports = upgrade.query
    .getAll("port")
    .flatMap((text) => text.split(","))
    .map(Number);
  if (ports.some((port) => !Number.isInteger(port) || port < 1 || port > 65535))
    throw new HttpError(400, "invalid port");
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
