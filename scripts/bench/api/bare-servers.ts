/**
 * The yardsticks for reads: Node.js's own HTTPS and HTTP/2 servers with nothing behind them but one ready Buffer. HTTP/2 uses the
 * leaner `stream` interface. A child of the benchmark that ends with it.
 */
import { createSecureServer, type ServerHttp2Stream } from "node:http2";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";

export interface BareServersJob {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
  readonly bodyFile: string;
}
export interface BarePorts {
  readonly http1: number;
  readonly http2: number;
}

async function serve(job: BareServersJob): Promise<BarePorts> {
  const { readFile } = await import("node:fs/promises");
  const bytes = await readFile(job.bodyFile);
  const headers = { "content-type": "application/json", "content-length": bytes.length };
  const tls = { cert: job.cert, key: job.key, ca: job.ca, requestCert: true, rejectUnauthorized: false };
  const http1 = createServer(tls, (request, response) => {
    request.resume();
    response.writeHead(200, headers);
    response.end(bytes);
  });
  const http2 = createSecureServer(tls);
  http2.on("stream", (stream: ServerHttp2Stream) => {
    stream.on("error", () => undefined); // The load generator resets what is under way when its time is over.
    stream.respond({ ":status": 200, ...headers });
    stream.end(bytes);
  });
  await Promise.all([
    new Promise<void>((resolve) => http1.listen(0, "127.0.0.1", resolve)),
    new Promise<void>((resolve) => http2.listen(0, "127.0.0.1", resolve)),
  ]);
  const portOf = (server: { address(): unknown }) => (server.address() as AddressInfo).port;
  return { http1: portOf(http1), http2: portOf(http2) };
}

process.once("message", (job) => {
  void serve(job as BareServersJob).then((ports) => process.send?.(ports));
});
process.once("disconnect", () => process.exit(0));
