/**
 * A Unix socket that is there from the start, while what answers on it is loaded only when somebody connects: most nodes
 * have nobody who does, and libraries cost memory.
 */
import { mkdir, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { dirname } from "node:path";
import type { Logger } from "@knarr/daemon/logger.ts";

export interface ConnectionTaker {
  take(socket: Socket): void;
  /** Ends every connection. */
  close(): void;
}

/** Listens at `path`, in whose place nothing may be that is still in use, until the signal aborts; then the file is gone. */
export async function serveLazily(
  path: string,
  open: () => Promise<ConnectionTaker>,
  { log, signal }: { readonly log: Logger; readonly signal: AbortSignal },
): Promise<void> {
  let opening: Promise<ConnectionTaker> | undefined;
  const server = createServer({ pauseOnConnect: true }, (socket) => {
    socket.on("error", (err) => log.debug({ err, path }, "a caller's connection broke"));
    opening ??= open();
    opening.then(
      (taker) => {
        taker.take(socket);
        socket.resume();
      },
      (err: unknown) => {
        log.error({ err, path }, "a service of the kubelet does not load");
        socket.destroy();
      },
    );
  });
  await mkdir(dirname(path), { recursive: true, mode: 0o750 });
  await rm(path, { force: true });
  await listen(server, path);
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
  // A service that did not load was told of when that happened.
  const taker = await opening?.catch(() => undefined);
  taker?.close();
  await new Promise<void>((resolve) => server.close(() => resolve()));
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, () => {
      server.off("error", reject);
      resolve();
    });
  });
}
