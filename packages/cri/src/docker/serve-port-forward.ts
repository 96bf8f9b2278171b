/**
 * Port-forward behind one SPDY connection: the client opens pairs of streams, "data" and "error" with one request id and a
 * port; each pair is one connection to the pod's loopback, made by a relay process inside its network namespace.
 */
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { SpdyServer } from "../spdy/spdy-server.ts";
import type { SpdyStream } from "../spdy/spdy-stream.ts";
import { acceptUpgrade, type Upgrade } from "./stream-server.ts";

const PROTOCOLS = ["portforward.k8s.io"];
const RELAY = fileURLToPath(new URL("./port-relay.ts", import.meta.url));
const PAIR_TIMEOUT_MS = 30_000;

export interface PortForwardTarget {
  readonly sandboxId: string;
  /** "/proc/PID/ns/net" */
  readonly netns: string;
}

interface Relay {
  readonly socket: string;
  stop(): Promise<void>;
}

async function startRelay(netns: string): Promise<Relay> {
  const directory = await mkdtemp(join(tmpdir(), "knarr-relay-"));
  const socket = join(directory, "s");
  const args = [`--net=${netns}`, "--", process.execPath, RELAY, socket];
  const child = spawn("nsenter", args, { stdio: ["pipe", "pipe", "pipe"] });
  const ended = new Promise<string>((resolve) => {
    const errors: Buffer[] = [];
    child.stderr.on("data", (part: Buffer) => errors.push(part));
    child.once("error", (error) => resolve(error.message));
    child.once("close", () => resolve(Buffer.concat(errors).toString().trim()));
  });
  child.stdin.on("error", () => undefined);
  const stop = async () => {
    child.kill("SIGKILL");
    await ended;
    await rm(directory, { recursive: true, force: true });
  };
  const ready = new Promise<undefined>((resolve) => child.stdout.once("data", () => resolve(undefined)));
  const failed = await Promise.race([ready, ended]);
  if (failed === undefined) return { socket, stop };
  await stop();
  throw new Error(`cannot enter the pod's network namespace: ${failed}`);
}

/** A connection to a port of the pod. Rejects with the reason. */
function dialThrough(relay: Relay, port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path: relay.socket, allowHalfOpen: true });
    let head = Buffer.alloc(0);
    const onData = (chunk: Buffer) => {
      head = Buffer.concat([head, chunk]);
      const end = head.indexOf("\n");
      if (end < 0) return;
      socket.off("data", onData);
      socket.pause();
      const answer = head.toString("utf8", 0, end);
      if (answer !== "ok") {
        socket.destroy();
        return reject(new Error(answer));
      }
      if (head.length > end + 1) socket.unshift(head.subarray(end + 1));
      resolve(socket);
    };
    socket.on("data", onData);
    socket.once("error", reject);
    socket.once("close", () => reject(new Error("the relay went away")));
    socket.write(`${port}\n`);
  });
}

interface Pair {
  data?: SpdyStream;
  error?: SpdyStream;
  port: number;
}

export async function servePortForward(target: PortForwardTarget, upgrade: Upgrade): Promise<void> {
  if (acceptUpgrade(upgrade, PROTOCOLS) === undefined) return;
  let relay: Promise<Relay> | undefined;
  const pairs = new Map<string, Pair>();
  const connection = new SpdyServer(upgrade.socket, upgrade.head, (headers, stream) => {
    const type = headers.get("streamtype");
    const port = Number(headers.get("port"));
    const isPort = Number.isInteger(port) && port > 0 && port < 65536;
    if ((type !== "data" && type !== "error") || !isPort) return void stream.destroy();
    // Clients before request ids opened the error stream first, and its pair with the next number.
    const key = headers.get("requestid") ?? String(type === "data" ? stream.id - 2 : stream.id);
    const pair = pairs.get(key) ?? { port };
    pairs.set(key, pair);
    pair[type] = stream;
    if (pair.data === undefined || pair.error === undefined) {
      setTimeout(() => pairs.get(key) === pair && pairs.delete(key) && stream.destroy(), PAIR_TIMEOUT_MS).unref();
      return;
    }
    pairs.delete(key);
    relay ??= startRelay(target.netns);
    forward(relay, target, pair.port, pair.data, pair.error);
  });
  await connection.closed;
  await relay?.then((started) => started.stop()).catch(() => undefined); // It told each pair that it had not started.
}

async function forward(
  relay: Promise<Relay>,
  { sandboxId }: PortForwardTarget,
  port: number,
  data: SpdyStream,
  error: SpdyStream,
): Promise<void> {
  error.resume();
  let socket: Socket;
  try {
    socket = await dialThrough(await relay, port);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    const where = `inside namespace ${JSON.stringify(sandboxId)}`;
    error.end(
      `error forwarding port ${port} to pod ${sandboxId}: failed to connect to localhost:${port} ${where}: ${why}`,
    );
    data.resume();
    data.end();
    return;
  }
  socket.on("error", () => data.destroy());
  data.on("error", () => socket.destroy());
  // Ended in order, what was written to the pod is still on its way.
  data.once("close", () => (data.readableEnded ? socket.end() : socket.destroy()));
  socket.pipe(data);
  data.pipe(socket);
  socket.once("end", () => error.end());
}
