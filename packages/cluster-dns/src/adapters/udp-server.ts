/** Answers over UDP on one address until the signal aborts. */
import { createSocket, type Socket } from "node:dgram";
import { isIPv6 } from "node:net";
import type { Listener } from "./listener.ts";

/** Bursts wait in the kernel instead of being lost; the kernel may give less. */
const RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024;

/** Resolves with the port once bound; rejects when the address can't be had. */
export async function listenUdp(listener: Listener): Promise<{ port: number; closed: Promise<void> }> {
  const { host, port, log, signal } = listener;
  const socket: Socket = createSocket({ type: isIPv6(host) ? "udp6" : "udp4", ipv6Only: isIPv6(host) });
  await new Promise<void>((resolve, reject) => {
    socket.once("error", reject);
    socket.bind(port, host, () => {
      socket.off("error", reject);
      resolve();
    });
  });
  socket.on("error", (error) => log.error({ err: error, host }, "UDP socket error"));
  try {
    socket.setRecvBufferSize(RECEIVE_BUFFER_BYTES);
  } catch (error) {
    log.warn({ err: error }, "receive buffer keeps its size");
  }
  let open = true;
  const send = (answer: Buffer, toPort: number, toHost: string) => {
    // The client may be gone: it asks again if it still wants to know.
    if (open) socket.send(answer, toPort, toHost, () => {});
  };
  socket.on("message", (message, from) => {
    // Forged: nobody can receive on port 0, and sending there throws.
    if (from.port === 0) return;
    const answer = listener.handle(message, "udp");
    if (answer === undefined) return;
    if (Buffer.isBuffer(answer)) send(answer, from.port, from.address);
    else void answer.then((late) => send(late, from.port, from.address));
  });
  const closed = new Promise<void>((resolve) => {
    const stop = () => {
      open = false;
      socket.close(() => resolve());
    };
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
  });
  return { port: socket.address().port, closed };
}
