/** Accepts WebSockets on upgrade requests that the API server answers itself: watches and logs. */
import { finished } from "node:stream";
import { type WebSocket, WebSocketServer } from "ws";
import type { RequestContext } from "./request-context.ts";

/** A protocol that carries a bearer token is for authentication; it is never agreed upon. */
const TOKEN_PROTOCOL = "base64url.bearer.authorization.k8s.io.";
const MAX_MESSAGE_BYTES = 64 * 1024;

const server = new WebSocketServer({
  noServer: true,
  maxPayload: MAX_MESSAGE_BYTES,
  handleProtocols: (offered) => [...offered].find((protocol) => !protocol.startsWith(TOKEN_PROTOCOL)) ?? false,
});

/** The open socket; closed by whoever is first: client, server or `context`. What the client sends is dropped. */
export async function acceptWebSocket(context: RequestContext): Promise<WebSocket> {
  const { upgrade } = context;
  if (upgrade === undefined) throw new Error("not an upgrade request");
  context.statusCode = 101;
  const socket = await new Promise<WebSocket>((resolve) => {
    server.handleUpgrade(context.request as never, upgrade.socket, upgrade.head, resolve);
  });
  socket.on("error", () => socket.terminate());
  finished(upgrade.socket, () => socket.terminate());
  return socket;
}

/** Sends one message and waits until it has left; false when the socket is closed. */
export function sendMessage(socket: WebSocket, data: Buffer | string, binary: boolean): Promise<boolean> {
  if (socket.readyState !== socket.OPEN) return Promise.resolve(false);
  return new Promise((resolve) => socket.send(data, { binary }, (error) => resolve(error == null)));
}
