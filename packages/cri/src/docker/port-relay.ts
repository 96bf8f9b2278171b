/**
 * Runs inside a pod's network namespace (started there with nsenter) and dials its loopback for port-forwards: the kubelet
 * itself can't enter a namespace. Listens on the Unix socket named by its argument, which no namespace separates from
 * the kubelet. A connection begins with a line "PORT\n"; it is answered with "ok\n" and then joined, or with the reason
 * in one line. Ends with its standard input, that is with the kubelet.
 */
import { connect, createServer, type Socket } from "node:net";

const MAX_HEAD_BYTES = 16;
/** Source: containerd's CRI plugin dials "localhost": the older family first */
const HOSTS = ["127.0.0.1", "::1"];

function dial(port: number, hosts: readonly string[]): Promise<Socket> {
  const [host = "", ...others] = hosts;
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, allowHalfOpen: true });
    socket.once("connect", () => resolve(socket));
    socket.once("error", (error) => {
      if (others.length === 0) reject(error);
      else dial(port, others).then(resolve, () => reject(error));
    });
  });
}

function serve(client: Socket): void {
  let head = Buffer.alloc(0);
  client.on("error", () => client.destroy());
  const onData = (chunk: Buffer) => {
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf("\n");
    if (end < 0) {
      if (head.length > MAX_HEAD_BYTES) client.destroy();
      return;
    }
    client.off("data", onData);
    client.pause();
    if (head.length > end + 1) client.unshift(head.subarray(end + 1));
    join(client, Number(head.toString("utf8", 0, end)));
  };
  client.on("data", onData);
}

function join(client: Socket, port: number): void {
  dial(port, HOSTS).then(
    (server) => {
      client.write("ok\n");
      for (const [from, to] of [
        [client, server],
        [server, client],
      ] as const) {
        from.on("error", () => to.destroy());
        from.on("close", (hadError) => {
          if (hadError) to.destroy();
        });
        from.pipe(to);
      }
    },
    (error: Error) => client.end(`${error.message}\n`),
  );
}

const server = createServer({ allowHalfOpen: true }, serve);
server.listen(process.argv[2] ?? "", () => process.stdout.write("ready\n"));
process.stdin.resume();
process.stdin.once("end", () => process.exit(0));
