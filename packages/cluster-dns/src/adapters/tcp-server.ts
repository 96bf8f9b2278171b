/** Answers over TCP on one address until the signal aborts. Source: RFC 7766 (many questions on one connection) */
import { createServer, type Socket } from "node:net";
import type { Listener } from "./listener.ts";

const IDLE_MS = 10_000;
const MAX_CONNECTIONS = 1000;
/** Questions of one connection being answered at once; more wait unread. */
const MAX_PENDING = 100;

/** Resolves once bound; rejects when the address can't be had. */
export async function listenTcp(listener: Listener): Promise<{ closed: Promise<void> }> {
  const { host, port, log, signal } = listener;
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    serveConnection(socket, listener);
  });
  server.maxConnections = MAX_CONNECTIONS;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port }, () => {
      server.off("error", reject);
      resolve();
    });
  });
  server.on("error", (error) => log.error({ err: error, host }, "TCP server error"));
  const closed = new Promise<void>((resolve) => {
    const stop = () => {
      server.close(() => resolve());
      for (const socket of sockets) socket.destroy();
    };
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
  });
  return { closed };
}

function serveConnection(socket: Socket, listener: Listener): void {
  let received: Buffer = Buffer.alloc(0);
  let pending = 0;
  socket.setTimeout(IDLE_MS, () => socket.destroy());
  // Clients leave as they please.
  socket.on("error", () => socket.destroy());
  const send = (answer: Buffer) => {
    if (socket.destroyed) return;
    const length = Buffer.alloc(2);
    length.writeUInt16BE(answer.length);
    if (!socket.write(Buffer.concat([length, answer]))) {
      socket.pause();
      socket.once("drain", () => socket.resume());
    }
  };
  const finish = () => {
    pending--;
    if (pending < MAX_PENDING && !socket.writableNeedDrain) socket.resume();
  };
  socket.on("data", (chunk: Buffer) => {
    received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
    while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
      const end = 2 + received.readUInt16BE(0);
      const message = received.subarray(2, end);
      received = received.subarray(end);
      const answer = listener.handle(message, "tcp");
      if (answer === undefined) {
        // Not a question: nothing sensible can follow on this connection.
        socket.destroy();
        return;
      }
      if (Buffer.isBuffer(answer)) {
        send(answer);
        continue;
      }
      pending++;
      if (pending >= MAX_PENDING) socket.pause();
      void answer.then(send).finally(finish);
    }
  });
}
