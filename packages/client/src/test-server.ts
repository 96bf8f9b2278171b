/** A scripted HTTP server for this package's tests: what it answers, and how it fails, is each test's own. */
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { createServer } from "@knarr/daemon/node-http.ts";

export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}
export type Handler = (request: SeenRequest, response: ServerResponse, raw: IncomingMessage) => void;

export class TestServer {
  readonly requests: SeenRequest[] = [];
  readonly #server: Server;
  handler: Handler;

  private constructor(handler: Handler) {
    this.handler = handler;
    this.#server = createServer((raw, response) => this.#serve(raw, response));
  }

  static async start(handler: Handler): Promise<TestServer> {
    const server = new TestServer(handler);
    await new Promise<void>((resolve) => server.#server.listen(0, "127.0.0.1", resolve));
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get server(): Server {
    return this.#server;
  }

  /** Cuts every connection. */
  cut(): void {
    this.#server.closeAllConnections();
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #serve(raw: IncomingMessage, response: ServerResponse): void {
    const chunks: Buffer[] = [];
    raw.on("data", (chunk: Buffer) => chunks.push(chunk));
    raw.on("end", () => {
      const url = new URL(raw.url ?? "/", "http://test");
      const request: SeenRequest = {
        method: raw.method ?? "",
        path: url.pathname,
        query: url.searchParams,
        headers: raw.headers,
        body: Buffer.concat(chunks).toString("utf8"),
      };
      this.requests.push(request);
      this.handler(request, response, raw);
    });
  }
}

export function json(
  response: ServerResponse,
  code: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  response.writeHead(code, { "content-type": "application/json", ...headers });
  response.end(JSON.stringify(body));
}

/** A Status as an API server would send it. */
export function status(code: number, reason: string, message = reason): object {
  return { kind: "Status", apiVersion: "v1", metadata: {}, status: "Failure", reason, message, code };
}

export function configMap(name: string, version: number, data: Record<string, string> = {}): object {
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name, namespace: "default", uid: `uid-${name}`, resourceVersion: String(version) },
    data,
  };
}
