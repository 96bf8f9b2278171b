/**
 * `serve`: answers every connection on port 7000 with the source that it saw, once the client has sent all it wants.
 * `ask ADDRESS BYTES`: sends that many bytes and prints the answer. Test equipment.
 */
import { connect, createServer } from "node:net";

const [, , verb = "", address = "", bytes = "1"] = process.argv;
if (verb === "serve") {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    let received = 0;
    socket.on("error", () => {}); // The client may leave first; it is only a test's client.
    socket.on("data", (chunk) => {
      received += chunk.length;
    });
    socket.on("end", () => socket.end(`${socket.remoteAddress?.replace("::ffff:", "")} ${received}`));
  });
  server.listen(7000, () => process.stdout.write("ready\n"));
  process.stdin.resume().on("end", () => process.exit(0));
} else {
  const socket = connect({ host: address, port: 7000, timeout: 30_000 });
  socket.on("timeout", () => socket.destroy(new Error("timeout")));
  socket.on("data", (chunk) => process.stdout.write(chunk));
  socket.end(Buffer.alloc(Number(bytes)));
}
