/**
 * A TCP proxy that misbehaves on command: cuts connections, stalls them (a half-open link: nothing arrives, nothing is closed), delays
 * bytes, refuses newcomers. It sits between a client and a real server on 127.0.0.1.
 */
import { createConnection, createServer, type Socket } from "node:net";

export interface FaultProxy {
  /** "127.0.0.1:PORT" */
  readonly address: string;
  readonly port: number;
  /** Destroys every open connection; new ones are still taken. Returns how many there were. */
  cut(): number;
  /** Ends only the way from the server to the client (FIN), leaving the other open. */
  halfClose(): void;
  /**
   * From now on the connections that are open swallow every byte in both directions and stay open: a link that died without a word.
   * New connections work.
   */
  freeze(): void;
  /** While true, new connections are destroyed at once. */
  refuse(on: boolean): void;
  /** Every chunk waits this long before it is passed on, in order; 0 for none. */
  delay(ms: number): void;
  stop(): Promise<void>;
}

interface Pair {
  readonly client: Socket;
  readonly server: Socket;
  isFrozen: boolean;
}

export async function startFaultProxy(target: { readonly host?: string; readonly port: number }): Promise<FaultProxy> {
  const pairs = new Set<Pair>();
  let isRefusing = false;
  let delayMs = 0;

  const pipe = (pair: Pair, from: Socket, to: Socket) => {
    // One promise chain per direction keeps the order of delayed chunks.
    let last: Promise<void> = Promise.resolve();
    from.on("data", (chunk: Buffer) => {
      if (pair.isFrozen) return;
      if (delayMs === 0) {
        last = last.then(() => write(to, chunk));
        return;
      }
      const due = new Promise<void>((resolve) => setTimeout(resolve, delayMs));
      last = last.then(() => due).then(() => write(to, chunk));
    });
    from.on("end", () => {
      if (!pair.isFrozen) void last.then(() => to.end());
    });
  };

  const proxy = createServer({ allowHalfOpen: true }, (client) => {
    if (isRefusing) {
      client.destroy();
      return;
    }
    const server = createConnection({ host: target.host ?? "127.0.0.1", port: target.port, allowHalfOpen: true });
    const pair: Pair = { client, server, isFrozen: false };
    pairs.add(pair);
    const close = () => {
      pairs.delete(pair);
      client.destroy();
      server.destroy();
    };
    // Errors are what this proxy is for; the other side learns of them by the closed connection.
    client.on("error", close);
    server.on("error", close);
    client.on("close", close);
    server.on("close", () => {
      if (!pair.isFrozen) close();
    });
    pipe(pair, client, server);
    pipe(pair, server, client);
  });
  await new Promise<void>((resolve, reject) => {
    proxy.once("error", reject);
    proxy.listen(0, "127.0.0.1", resolve);
  });
  const bound = proxy.address();
  if (bound === null || typeof bound === "string") throw new Error("the proxy has no port");

  const cut = () => {
    const count = pairs.size;
    for (const { client, server } of [...pairs]) {
      client.destroy();
      server.destroy();
    }
    pairs.clear();
    return count;
  };
  return {
    address: `127.0.0.1:${bound.port}`,
    port: bound.port,
    cut,
    halfClose: () => {
      for (const { client } of pairs) client.end();
    },
    freeze: () => {
      for (const pair of pairs) pair.isFrozen = true;
    },
    refuse: (on) => {
      isRefusing = on;
    },
    delay: (ms) => {
      delayMs = ms;
    },
    stop: async () => {
      cut();
      await new Promise<void>((resolve) => proxy.close(() => resolve()));
    },
  };
}

function write(to: Socket, chunk: Buffer): void {
  if (!to.destroyed && to.writable) to.write(chunk);
}
