/** The client's end of a WebSocket that carries another connection's bytes. */
import type { Duplex } from "node:stream";
import { createWebSocketStream, WebSocket } from "ws";

/** `ws` itself refuses to ask for a protocol with a slash in its name, so the header is set by hand. */
export async function createWebSocketStreamOverTunnel(host: string, path: string, protocol: string): Promise<Duplex> {
  const socket = new WebSocket(`wss://${host}${path}`, {
    rejectUnauthorized: false,
    headers: { "sec-websocket-protocol": protocol },
  });
  await new Promise<void>((resolve, reject) => {
    socket.once("upgrade", (response) => {
      if (response.headers["sec-websocket-protocol"] !== protocol) reject(new Error("another protocol was agreed"));
      // It would also refuse the answer, which it did not ask for.
      delete response.headers["sec-websocket-protocol"];
    });
    socket.once("open", () => resolve());
    socket.once("error", reject);
  });
  return createWebSocketStream(socket);
}
