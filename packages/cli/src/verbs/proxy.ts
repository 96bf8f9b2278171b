/** `knarr proxy`: the API server on localhost, with our credentials. */

import { readFile } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";
import { StatusError } from "@knarr/apimachinery/status-error.ts";
import type { Client } from "@knarr/client/client.ts";
import { createServer } from "@knarr/daemon/node-http.ts";
import type { Command } from "commander";
import { connect } from "../connect.ts";
import { type CliContext, CliError, type GlobalOptions, type Verb } from "../verb.ts";

interface ProxyOptions extends GlobalOptions {
  readonly port: string;
  readonly address: string;
  readonly unixSocket?: string;
  readonly apiPrefix: string;
  readonly www?: string;
  readonly wwwPrefix: string;
  readonly acceptHosts: string;
  readonly acceptPaths: string;
  readonly rejectPaths: string;
  readonly rejectMethods: string;
  readonly disableFilter?: boolean;
}

export const proxy: Verb = {
  name: "proxy",
  register(program, context) {
    program
      .command("proxy")
      .description("Run a proxy to the Kubernetes API server")
      .option("-p, --port <n>", "port to listen on, 0 for any", "8001")
      .option("--address <address>", "address to listen on", "127.0.0.1")
      .option("-u, --unix-socket <path>", "listen on this socket instead")
      .option("--api-prefix <path>", "where the API begins", "/")
      .option("-w, --www <folder>", "files to serve too")
      .option("-P, --www-prefix <path>", "where the files begin", "/static/")
      .option("--accept-hosts <pattern>", "hosts that requests may name", "^localhost$,^127\\.0\\.0\\.1$,^\\[::1\\]$")
      .option("--accept-paths <pattern>", "paths that are let through", "^.*")
      .option("--reject-paths <pattern>", "paths that are not", "^/api/.*/pods/.*/exec,^/api/.*/pods/.*/attach")
      .option("--reject-methods <pattern>", "methods that are not", "^$")
      .option("--disable-filter", "let everything through, which is dangerous")
      .action((_options: unknown, self: Command) => runProxy(self.optsWithGlobals<ProxyOptions>(), context));
  },
};

const patterns = (text: string) =>
  text.split(",").map((source) => {
    try {
      return new RegExp(source);
    } catch (error) {
      throw new CliError(`invalid pattern ${JSON.stringify(source)}: ${(error as Error).message}`);
    }
  });

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".json": "application/json",
  ".svg": "image/svg+xml",
  ".png": "image/png",
};

async function runProxy(options: ProxyOptions, context: CliContext): Promise<void> {
  const { client } = await connect(options, context);
  const rules = {
    hosts: patterns(options.acceptHosts),
    paths: patterns(options.acceptPaths),
    rejectedPaths: patterns(options.rejectPaths),
    rejectedMethods: patterns(options.rejectMethods),
  };
  const prefix = options.apiPrefix.endsWith("/") ? options.apiPrefix : `${options.apiPrefix}/`;
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? "/", "http://localhost");
    const host = (request.headers.host ?? "").replace(/:\d+$/, "");
    const allowed =
      options.disableFilter === true ||
      (rules.hosts.some((p) => p.test(host)) &&
        rules.paths.some((p) => p.test(url.pathname)) &&
        !rules.rejectedPaths.some((p) => p.test(url.pathname)) &&
        !rules.rejectedMethods.some((p) => p.test(request.method ?? "")));
    if (!allowed) response.writeHead(403, { "content-type": "text/plain" }).end("Forbidden\n");
    else if (options.www !== undefined && url.pathname.startsWith(options.wwwPrefix)) {
      void serveFile(join(options.www, normalize(`/${url.pathname.slice(options.wwwPrefix.length)}`)), response);
    } else if (!url.pathname.startsWith(prefix)) response.writeHead(404).end("404 page not found\n");
    else void forward(client, `/${url.pathname.slice(prefix.length)}`, url, request, response, context.signal);
  });
  const listening = Promise.withResolvers<void>();
  server.once("error", listening.reject);
  if (options.unixSocket === undefined) server.listen(Number(options.port), options.address, listening.resolve);
  else server.listen(options.unixSocket, listening.resolve);
  await listening.promise;
  const address = server.address() as AddressInfo | string;
  const shown = typeof address === "string" ? address : `${address.address}:${address.port}`;
  context.stdout.write(`Starting to serve on ${shown}\n`);
  await new Promise<void>((resolve) => context.signal.addEventListener("abort", () => resolve(), { once: true }));
  server.closeAllConnections();
  server.close();
}

async function serveFile(path: string, response: ServerResponse): Promise<void> {
  try {
    const body = await readFile(path);
    response.writeHead(200, { "content-type": TYPES[extname(path)] ?? "application/octet-stream" }).end(body);
  } catch {
    response.writeHead(404).end("404 page not found\n");
  }
}

/** Headers that belong to one connection, and those that would speak for somebody else. */
const DROPPED = new Set([
  "host",
  "connection",
  "authorization",
  "content-length",
  "transfer-encoding",
  "accept-encoding",
]);

async function forward(
  client: Client,
  path: string,
  url: URL,
  request: IncomingMessage,
  response: ServerResponse,
  signal: AbortSignal,
): Promise<void> {
  const aborter = new AbortController();
  response.once("close", () => aborter.abort());
  const headers = Object.fromEntries(
    Object.entries(request.headers).flatMap(([name, value]) =>
      DROPPED.has(name) || typeof value !== "string" ? [] : [[name, value]],
    ),
  );
  try {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    const query: Record<string, string[]> = {};
    for (const [name, value] of url.searchParams) query[name] = [...(query[name] ?? []), value];
    const answer = await client.stream({
      method: request.method ?? "GET",
      path,
      query,
      headers,
      ...(body.length === 0 ? {} : { body }),
      signal: AbortSignal.any([signal, aborter.signal]),
    });
    const { connection: _c, "transfer-encoding": _t, ...rest } = answer.headers;
    response.writeHead(answer.statusCode ?? 502, rest);
    answer.pipe(response);
  } catch (error) {
    if (response.headersSent || aborter.signal.aborted) {
      response.destroy();
      return;
    }
    const status = error instanceof StatusError ? error.status : undefined;
    response
      .writeHead(status?.code ?? 502, { "content-type": "application/json" })
      .end(
        JSON.stringify(
          status ?? { kind: "Status", apiVersion: "v1", status: "Failure", message: (error as Error).message },
        ),
      );
  }
}
