/** Opens an upgraded connection to the runtime's streaming server. */
import type { IncomingHttpHeaders } from "node:http";
import { request as httpsRequest } from "node:https";
import type { Duplex } from "node:stream";
import { request as httpRequest } from "./node-http.ts";

export interface UpgradedConnection {
  readonly socket: Duplex;
  readonly head: Buffer;
  readonly headers: IncomingHttpHeaders;
  /** Header names and values as they came, for repeating them. */
  readonly rawHeaders: readonly string[];
  readonly statusMessage: string;
}

/** The streaming server answered with something else than 101. */
export class UpgradeRefused extends Error {
  readonly status: number;
  constructor(status: number, body: string) {
    super(`unable to upgrade connection: ${body === "" ? `status ${status}` : body}`);
    this.status = status;
  }
}

const DIAL_TIMEOUT_MS = 30_000;

/** `headers` are sent as they are, with the upgrade to SPDY/3.1 unless they name another. */
export function dialUpgrade(
  url: string,
  headers: Readonly<Record<string, string | string[]>>,
): Promise<UpgradedConnection> {
  const { promise, resolve, reject } = Promise.withResolvers<UpgradedConnection>();
  const send = url.startsWith("https:") ? httpsRequest : httpRequest;
  const outgoing = send(url, {
    method: "POST",
    agent: false,
    headers: { connection: "Upgrade", upgrade: "SPDY/3.1", ...headers },
    // The runtime's streaming server is on this machine and makes its own certificate, if any.
    rejectUnauthorized: false,
    timeout: DIAL_TIMEOUT_MS,
  });
  outgoing.once("timeout", () => outgoing.destroy(new Error("the runtime's streaming server does not answer")));
  outgoing.once("error", reject);
  outgoing.once("upgrade", (response, socket, head) => {
    socket.setTimeout(0);
    const { headers: answered, rawHeaders, statusMessage = "" } = response;
    resolve({ socket, head, headers: answered, rawHeaders, statusMessage });
  });
  outgoing.once("response", (response) => {
    const parts: Buffer[] = [];
    response.on("data", (part: Buffer) => parts.push(part));
    response.once("end", () => reject(new UpgradeRefused(response.statusCode ?? 502, Buffer.concat(parts).toString())));
  });
  outgoing.end();
  return promise;
}
