/**
 * The yardstick for reads: node:https with nothing behind it. Answers every request with one ready Buffer; connections
 * are as to the API server (its certificate, client certificate required). A child of the benchmark that ends with it.
 */
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";

export interface BareServerJob {
  readonly cert: string;
  readonly key: string;
  readonly clientCa: string;
  readonly body: string;
}

process.once("message", (message) => {
  const { cert, key, clientCa, body } = message as BareServerJob;
  const bytes = Buffer.from(body);
  const headers = { "content-type": "application/json", "content-length": bytes.length };
  const server = createServer({ cert, key, ca: clientCa, requestCert: true, rejectUnauthorized: true });
  server.on("request", (_request, response) => {
    response.writeHead(200, headers);
    response.end(bytes);
  });
  server.listen(0, "127.0.0.1", () => process.send?.((server.address() as AddressInfo).port));
});
process.once("disconnect", () => process.exit(0));
