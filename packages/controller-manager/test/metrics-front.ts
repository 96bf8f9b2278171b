/**
 * An API server with metrics APIs, for a manager under test: answers below the metrics groups come from the test, all else
 * from the real API server, asked as cluster administrator.
 */

import { writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { request } from "node:https";
import type { AddressInfo } from "node:net";
import type { RestConfig } from "@knarr/client/rest-config.ts";

export interface MetricsFront {
  /** A kubeconfig file's content that leads here. */
  readonly kubeconfig: string;
  /** What a path of the metrics APIs answers; undefined is 404. */
  answer(path: string): unknown;
  stop(): Promise<void>;
}

const GROUP = /^\/apis\/(custom\.|external\.)?metrics\.k8s\.io/;

export async function startMetricsFront(api: RestConfig, answers: Map<string, unknown>): Promise<MetricsFront> {
  const server = createServer((incoming, response) => {
    const path = new URL(incoming.url ?? "/", "http://front").pathname;
    if (!GROUP.test(path)) {
      forward(api, incoming, response);
      return;
    }
    const body = answers.get(path);
    const missing = {
      kind: "Status",
      apiVersion: "v1",
      status: "Failure",
      reason: "NotFound",
      code: 404,
      message: "no metrics",
    };
    response.writeHead(body === undefined ? 404 : 200, { "content-type": "application/json" });
    response.end(JSON.stringify(body ?? missing));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const cluster = { name: "front", cluster: { server: `http://127.0.0.1:${port}` } };
  const context = { name: "front", context: { cluster: "front", user: "front" } };
  const users = [{ name: "front", user: {} }];
  const kubeconfig = JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: [cluster],
    contexts: [context],
    users,
    "current-context": "front",
  });
  return {
    kubeconfig,
    answer: (path) => answers.get(path),
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function forward({ server, ca, cert, key }: RestConfig, incoming: IncomingMessage, response: ServerResponse): void {
  const { authorization: _own, host: _host, ...headers } = incoming.headers;
  const options = { method: incoming.method, headers, ca, cert, key };
  const outgoing = request(new URL(incoming.url ?? "/", server), options as object, (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(response);
  });
  outgoing.on("error", () => response.destroy());
  response.on("close", () => outgoing.destroy());
  incoming.pipe(outgoing);
}

export async function writeKubeconfig(path: string, { kubeconfig }: MetricsFront): Promise<string> {
  await writeFile(path, kubeconfig);
  return path;
}
