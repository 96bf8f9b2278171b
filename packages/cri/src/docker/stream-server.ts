/**
 * The streaming server of runtimes that have none: SPDY/3.1 upgrades on a loopback port, each URL good for one connection
 * within a minute. Listens from the first offer on.
 */
import { randomBytes } from "node:crypto";
import type { IncomingMessage, Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { createServer } from "../node-http.ts";

const TOKEN_MAX_AGE_MS = 60_000;
const MAX_OFFERS = 1000;

export interface Upgrade {
  readonly request: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
}

type Serve = (upgrade: Upgrade) => Promise<void>;

export function refuse(socket: Duplex, status: string, message: string): void {
  const length = Buffer.byteLength(message);
  const headers = ["Connection: close", "Content-Type: text/plain; charset=utf-8", `Content-Length: ${length}`];
  socket.end(`HTTP/1.1 ${status}\r\n${headers.join("\r\n")}\r\n\r\n${message}`);
}

/** Answers the upgrade with the first of our protocols that the client offers; undefined when it was refused. */
export function acceptUpgrade({ request, socket }: Upgrade, ours: readonly string[]): string | undefined {
  const header = request.headers["x-stream-protocol-version"];
  const offered = (Array.isArray(header) ? header.join(",") : (header ?? "")).split(",").map((p) => p.trim());
  // Source: upstream's httpstream.Handshake: a client that names none gets the one without a version
  const none = offered.every((p) => p === "");
  const protocol = none ? "" : ours.find((candidate) => offered.includes(candidate));
  if ((request.headers.upgrade ?? "").toLowerCase() !== "spdy/3.1" || protocol === undefined) {
    refuse(socket, "403 Forbidden", `unable to upgrade: supported are SPDY/3.1 and ${ours.join(", ")}`);
    return undefined;
  }
  const chosen = protocol === "" ? "" : `X-Stream-Protocol-Version: ${protocol}\r\n`;
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n${chosen}\r\n`);
  return protocol;
}

export class StreamServer {
  readonly #offers = new Map<string, { readonly serve: Serve; readonly timer: NodeJS.Timeout }>();
  readonly #sockets = new Set<Duplex>();
  #listening: Promise<{ server: Server; port: number }> | undefined;

  /** A URL behind which `serve` waits for one connection. */
  async offer(kind: string, serve: Serve): Promise<string> {
    this.#listening ??= this.#listen();
    const { port } = await this.#listening;
    const token = `/${kind}/${randomBytes(16).toString("hex")}`;
    if (this.#offers.size >= MAX_OFFERS) throw new Error("too many streams wait for their clients");
    const timer = setTimeout(() => this.#offers.delete(token), TOKEN_MAX_AGE_MS).unref();
    this.#offers.set(token, { serve, timer });
    return `http://127.0.0.1:${port}${token}`;
  }

  async #listen() {
    const server = createServer((_, response) => {
      response.writeHead(404).end();
    });
    server.on("upgrade", (request, socket, head) => this.#upgrade({ request, socket, head }));
    server.unref();
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(0, "127.0.0.1", resolve);
    });
    return { server, port: (server.address() as AddressInfo).port };
  }

  #upgrade(upgrade: Upgrade): void {
    const { request, socket } = upgrade;
    const token = request.url ?? "";
    const offer = this.#offers.get(token);
    socket.on("error", () => socket.destroy());
    if (offer === undefined) return refuse(socket, "404 Not Found", "this stream is not offered (any more)");
    this.#offers.delete(token);
    clearTimeout(offer.timer);
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
    // What goes wrong in a stream is told in it, as far as it can be told.
    offer.serve(upgrade).catch(() => socket.destroy());
  }

  /** Ends every stream. */
  close(): void {
    for (const { timer } of this.#offers.values()) clearTimeout(timer);
    this.#offers.clear();
    for (const socket of this.#sockets) socket.destroy();
    this.#listening?.then(({ server }) => server.close()).catch(() => undefined);
    this.#listening = undefined;
  }
}
