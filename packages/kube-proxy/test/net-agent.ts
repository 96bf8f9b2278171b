/**
 * A process inside a network namespace that answers connections with its name and the source it saw, and makes
 * connections when told to: one JSON line in, one out. Test equipment.
 */
import { createSocket } from "node:dgram";
import { connect, createServer } from "node:net";
import { createInterface } from "node:readline";

export interface ConnectOrder {
  readonly id: number;
  readonly to: string;
  readonly protocol: "tcp" | "udp";
  readonly timeoutMs: number;
}
/** "podA 10.180.0.1", or an error code: ECONNREFUSED, ETIMEDOUT. */
export interface ConnectResult {
  readonly id: number;
  readonly answer?: string;
  readonly error?: string;
}

export function probe(order: ConnectOrder): Promise<ConnectResult> {
  const colon = order.to.lastIndexOf(":");
  const host = order.to.slice(0, colon).replace(/^\[|\]$/g, "");
  const port = Number(order.to.slice(colon + 1));
  const { id } = order;
  return new Promise((resolve) => {
    const timer = setTimeout(() => done({ id, error: "ETIMEDOUT" }), order.timeoutMs);
    let close = () => {};
    const done = (result: ConnectResult) => {
      clearTimeout(timer);
      close();
      resolve(result);
    };
    const failed = (error: NodeJS.ErrnoException) => done({ id, error: error.code ?? error.message });
    if (order.protocol === "tcp") {
      const socket = connect({ host, port });
      close = () => socket.destroy();
      socket.on("error", failed);
      socket.on("data", (data) => done({ id, answer: data.toString() }));
      return;
    }
    const socket = createSocket("udp4");
    close = () => socket.close();
    socket.on("error", failed);
    socket.on("message", (data) => done({ id, answer: data.toString() }));
    socket.connect(port, host, () => socket.send("?"));
  });
}

function serve(name: string, port: number): Promise<void> {
  const socket = createSocket("udp4");
  socket.on("message", (_data, from) => socket.send(`${name} ${from.address}`, from.port, from.address));
  socket.bind(port);
  return new Promise((resolve) => {
    createServer((socket) => {
      socket.on("error", () => {}); // The client may leave first; it is only a test's client.
      socket.end(`${name} ${socket.remoteAddress?.replace("::ffff:", "")}`);
    }).listen(port, resolve);
  });
}

if (process.argv[1] === import.meta.filename) {
  const [, , name = "", port = "0"] = process.argv;
  if (port !== "0") await serve(name, Number(port));
  process.stdout.write("ready\n");
  const lines = createInterface({ input: process.stdin });
  lines.on("line", async (line) => {
    process.stdout.write(`${JSON.stringify(await probe(JSON.parse(line) as ConnectOrder))}\n`);
  });
  lines.on("close", () => process.exit(0));
}
