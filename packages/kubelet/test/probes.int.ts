/** Probe handlers against real servers on loopback: what counts as well, and what is said when it is not. */
import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createHttp2, type Http2Server, type ServerHttp2Stream } from "node:http2";
import { type AddressInfo, createServer as createTcp } from "node:net";
import test, { after, before } from "node:test";
import { runGrpcProbe } from "../src/probes/grpc-probe.ts";
import { runHttpProbe } from "../src/probes/http-probe.ts";
import { httpTarget, resolvePort } from "../src/probes/probe-request.ts";
import { runTcpProbe } from "../src/probes/tcp-probe.ts";

const HOST = "127.0.0.1";
const TIMEOUT_MS = 5000;
const container = { name: "main", ports: [{ name: "web", containerPort: 8080 }] };
const seen: IncomingMessage[] = [];

function answer(request: IncomingMessage, response: ServerResponse): void {
  seen.push(request);
  const code = Number(/^\/code\/(\d+)/.exec(request.url ?? "")?.[1] ?? 200);
  const to = /^\/to\/(.*)$/.exec(request.url ?? "")?.[1];
  if (request.url === "/silent") return;
  if (to !== undefined) return void response.writeHead(302, { location: decodeURIComponent(to) }).end();
  response.writeHead(code).end("body");
}

/** A gRPC health server: SERVING for "", NOT_SERVING for "sick", SERVICE_UNKNOWN is an error status as the protocol has it. */
function health(): Http2Server {
  const server = createHttp2();
  server.on("stream", (stream: ServerHttp2Stream, headers) => {
    const parts: Buffer[] = [];
    stream.on("data", (part: Buffer) => parts.push(part));
    stream.on("end", () => {
      const frame = Buffer.concat(parts);
      // Behind the frame's five bytes: field 1, a length (two bytes for long ones), the name.
      const service = frame.length === 5 ? "" : frame.subarray((frame[6] ?? 0) >= 0x80 ? 8 : 7).toString();
      const head = { ":status": 200, "content-type": "application/grpc" };
      if (headers[":path"] !== "/grpc.health.v1.Health/Check" || service === "absent") {
        stream.respond(
          { ...head, "grpc-status": service === "absent" ? "5" : "12", "grpc-message": "unknown%20service" },
          { endStream: true },
        );
        return;
      }
      stream.respond(head, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
      stream.end(Buffer.from([0, 0, 0, 0, 2, 8, service === "sick" ? 2 : 1]));
    });
  });
  return server;
}

const servers: { close(): unknown }[] = [];
let web: number;
let grpc: number;
let closed: number;
const listen = async (server: Server | Http2Server | ReturnType<typeof createTcp>) => {
  await new Promise<void>((resolve) => server.listen(0, HOST, resolve));
  return (server.address() as AddressInfo).port;
};
before(async () => {
  const http = createServer(answer);
  const http2 = health();
  servers.push(http, http2);
  web = await listen(http);
  grpc = await listen(http2);
  const gone = createTcp();
  closed = await listen(gone);
  await new Promise((resolve) => gone.close(resolve));
});
after(() => {
  for (const server of servers) {
    if ("closeAllConnections" in server) (server as Server).closeAllConnections();
    server.close();
  }
});

const probe = (path: string, more = {}) =>
  runHttpProbe(httpTarget({ path, port: web, ...more }, container, HOST), TIMEOUT_MS);

for (const [code, want] of [
  [200, "success"],
  [204, "success"],
  [399, "success"],
  [400, "failure"],
  [404, "failure"],
  [503, "failure"],
] as const) {
  test(`an HTTP probe that is answered ${code} is a ${want}`, async () => {
    const { result, output } = await probe(`/code/${code}`);
    assert.equal(result, want);
    if (want === "failure") assert.equal(output, `HTTP probe failed with statuscode: ${code}`);
  });
}

test("an HTTP probe follows redirects on the same host, and warns of one that it does not follow", async () => {
  const to = (location: string) => `/to/${encodeURIComponent(location)}`;
  assert.deepEqual(await probe(to("/code/500")), {
    result: "failure",
    output: "HTTP probe failed with statuscode: 500",
  });
  assert.deepEqual(await probe(to("/code/200")), { result: "success", output: "body" });
  const warned = { result: "success", warning: true };
  const elsewhere = await probe(to("http://elsewhere.invalid/code/500"));
  assert.deepEqual(elsewhere, { ...warned, output: "Probe terminated redirects, Response body: " });
  assert.deepEqual(await probe("/code/399"), { ...warned, output: "Probe terminated redirects, Response body: body" });
  const { result, output } = await probe("/code/302");
  assert.equal(result, "failure");
  assert.match(output, /^Get "http:.*": 302 response missing Location header$/);
});

test("an HTTP probe sends its headers, the user agent of probes unless one is given, and the host that is asked", async () => {
  await probe("/headers?q=1");
  assert.match(seen.at(-1)?.headers["user-agent"] ?? "", /^kube-probe\/1\.36/);
  assert.equal(seen.at(-1)?.url, "/headers?q=1");
  assert.equal(seen.at(-1)?.headers.accept, "*/*");
  const httpHeaders = [
    { name: "Host", value: "app.example" },
    { name: "User-Agent", value: "mine" },
    { name: "X-A", value: "1" },
    { name: "Accept", value: "" },
  ];
  await probe("/headers", { httpHeaders });
  const { host, "user-agent": agent, "x-a": own, accept } = seen.at(-1)?.headers ?? {};
  assert.deepEqual([host, agent, own, accept], ["app.example", "mine", "1", undefined]);
});

test("an HTTP probe that nobody answers fails with the words of Go's client", async () => {
  const refused = await runHttpProbe(httpTarget({ port: closed }, container, HOST), TIMEOUT_MS);
  assert.equal(refused.result, "failure");
  assert.equal(
    refused.output,
    `Get "http://127.0.0.1:${closed}/": dial tcp 127.0.0.1:${closed}: connect: connection refused`,
  );
  const silent = await runHttpProbe(httpTarget({ path: "/silent", port: web }, container, HOST), 100);
  assert.match(silent.output, /context deadline exceeded \(Client\.Timeout exceeded while awaiting headers\)$/);
});

test("resolvePort() takes numbers and names of the container's ports, and refuses others", () => {
  assert.equal(resolvePort(81, container), 81);
  assert.equal(resolvePort("web", container), 8080);
  assert.throws(() => resolvePort("absent", container), /couldn't find port: absent/);
});

test("a TCP probe is well when the port opens", async () => {
  assert.equal((await runTcpProbe(HOST, web, TIMEOUT_MS)).result, "success");
  const refused = await runTcpProbe(HOST, closed, TIMEOUT_MS);
  assert.deepEqual(refused, {
    result: "failure",
    output: `dial tcp 127.0.0.1:${closed}: connect: connection refused`,
  });
});

const services: { service: string; result: "success" | "failure"; output: RegExp }[] = [
  { service: "", result: "success", output: /healthy/ },
  { service: "x".repeat(200), result: "success", output: /healthy/ },
  { service: "sick", result: "failure", output: /^service unhealthy \(responded with "NOT_SERVING"\)$/ },
  {
    service: "absent",
    result: "failure",
    output: /^error: health rpc probe failed: rpc error: code = NotFound desc = unknown service$/,
  },
];
for (const { service, result, output } of services) {
  test(`a gRPC probe of service "${service.slice(0, 10)}" is a ${result}`, async () => {
    const got = await runGrpcProbe(HOST, grpc, service, TIMEOUT_MS);
    assert.equal(got.result, result, got.output);
    assert.match(got.output, output);
  });
}

test("a gRPC probe of a port where nobody listens fails to connect", async () => {
  const { result, output } = await runGrpcProbe(HOST, closed, "", TIMEOUT_MS);
  assert.equal(result, "failure");
  assert.match(
    output,
    /^timeout: failed to connect service "127\.0\.0\.1:\d+" within \d+s: context deadline exceeded$/,
  );
});
