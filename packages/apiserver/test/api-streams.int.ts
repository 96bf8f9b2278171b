/** Logs, exec and proxies through the API server, against a kubelet that this file plays. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { after, test } from "node:test";
import { connect, type TLSSocket } from "node:tls";
import { WebSocket, WebSocketServer } from "ws";
import { type Harness, type Json, pod, useApiserver } from "./api-harness.ts";

const PODS = "/api/v1/namespaces/default/pods";
const seen: { url: string; client: string; headers: IncomingMessage["headers"] }[] = [];
let kubelet: Server;
let answerLog: (request: IncomingMessage, response: ServerResponse) => void = (_request, response) =>
  response.end("hello\n");

const h = useApiserver({ prepare: startKubelet });
after(() => {
  kubelet?.closeAllConnections();
  kubelet?.close();
});

async function startKubelet(harness: Harness): Promise<void> {
  const { cert, key } = await harness.api.pki.issue("kubelet", {
    commonName: "system:node:n1",
    ipAddresses: ["127.0.0.1"],
  });
  kubelet = createServer({ cert, key, ca: harness.api.admin.ca ?? "", requestCert: true, rejectUnauthorized: true });
  const sockets = new WebSocketServer({ noServer: true, handleProtocols: (offered) => [...offered][0] ?? false });
  const note = (request: IncomingMessage) =>
    seen.push({
      url: request.url ?? "",
      client: String((request.socket as TLSSocket).getPeerCertificate().subject.CN),
      headers: request.headers,
    });
  kubelet.on("request", (request, response) => {
    note(request);
    if (request.url?.startsWith("/containerLogs/") === true) answerLog(request, response);
    else response.writeHead(404).end("no such thing\n");
  });
  kubelet.on("upgrade", (request, socket, head) => {
    note(request);
    if (request.url?.includes("refuse") === true) {
      socket.end("HTTP/1.1 403 Forbidden\r\ncontent-length: 7\r\nconnection: close\r\n\r\nrefused");
    } else if (request.headers.upgrade === "SPDY/3.1") {
      socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n");
      socket.on("data", (data: Buffer) => socket.write(Buffer.from(data).reverse()));
      socket.on("error", () => {});
    } else {
      sockets.handleUpgrade(request, socket, head, (ws) => {
        ws.on("message", (data, isBinary) => ws.send(data, { binary: isBinary }));
      });
    }
  });
  kubelet.listen(0, "127.0.0.1");
  await once(kubelet, "listening");
  const { port } = kubelet.address() as AddressInfo;
  await harness.create("/api/v1/namespaces/default/serviceaccounts", { metadata: { name: "default" } });
  await harness.create("/api/v1/nodes", { metadata: { name: "n1" } });
  const status = {
    addresses: [{ type: "InternalIP", address: "127.0.0.1" }],
    daemonEndpoints: { kubeletEndpoint: { Port: port } },
  };
  const merge = { "content-type": "application/merge-patch+json" };
  await harness.call("PATCH", "/api/v1/nodes/n1/status", { body: { status }, headers: merge });
  await harness.create(PODS, pod("web", { nodeName: "n1" }));
  await harness.create(
    PODS,
    pod("two", {
      nodeName: "n1",
      containers: [
        { name: "a", image: "i" },
        { name: "b", image: "i" },
      ],
    }),
  );
  await harness.create(PODS, pod("waiting"));
}

test("logs come from the kubelet with our certificate and the options passed on", async () => {
  const answer = await h.call("GET", `${PODS}/web/log?tailLines=5&timestamps=true`);
  assert.equal(answer.status, 200);
  assert.equal(answer.text, "hello\n");
  assert.match(answer.headers["content-type"] ?? "", /^text\/plain/);
  const last = seen.at(-1);
  assert.equal(last?.url, "/containerLogs/default/web/c?timestamps=true&tailLines=5");
  assert.equal(last?.client, "kube-apiserver-kubelet-client");
});

test("log options and containers are checked", async () => {
  assert.equal((await h.call("GET", `${PODS}/web/log?tailLines=-1`)).status, 422);
  const both = await h.call("GET", `${PODS}/two/log`);
  assert.equal(both.status, 400);
  assert.equal(both.body.message, "a container name must be specified for pod two, choose one of: [a b]");
  const none = await h.call("GET", `${PODS}/web/log?container=zzz`);
  assert.equal(none.body.message, "container zzz is not valid for pod web");
  assert.equal((await h.call("GET", `${PODS}/ghost/log`)).status, 404);
  assert.equal((await h.call("GET", `${PODS}/waiting/log`)).status, 200);
});

test("the kubelet's refusal of a log is the client's Status", async () => {
  const before = answerLog;
  answerLog = (_request, response) =>
    response.writeHead(400).end('container "c" in pod "web" is waiting to start: ContainerCreating');
  const answer = await h.call("GET", `${PODS}/web/log`);
  answerLog = before;
  assert.equal(answer.status, 400);
  assert.equal(answer.body.message, 'container "c" in pod "web" is waiting to start: ContainerCreating');
});

test("a followed log is flushed at once, and the client's leaving reaches the kubelet", async () => {
  const before = answerLog;
  const closed = Promise.withResolvers<void>();
  let write: (text: string) => void = () => {};
  answerLog = (_request, response) => {
    response.writeHead(200);
    response.flushHeaders();
    write = (text) => response.write(text);
    response.once("close", () => closed.resolve());
  };
  const stream = await h.open("GET", `${PODS}/web/log?follow=true`);
  answerLog = before;
  for (const line of ["one\n", "two\n"]) {
    write(line);
    const [chunk] = await once(stream, "data");
    assert.equal(String(chunk), line);
  }
  stream.destroy();
  await closed.promise;
});

function webSocket(path: string, ...protocols: string[]): WebSocket {
  const { ca, cert, key } = h.api.admin;
  return new WebSocket(`wss://127.0.0.1:${h.api.port}${path}`, protocols, { ca, cert, key } as Json);
}

test("exec over a WebSocket passes frames both ways", async () => {
  const ws = webSocket(
    `${PODS}/web/exec?command=sh&command=-c&stdin=true&stdout=true&stderr=true`,
    "v5.channel.k8s.io",
  );
  await once(ws, "open");
  assert.equal(ws.protocol, "v5.channel.k8s.io");
  ws.send(Buffer.from([0, 104, 105]));
  const [data] = await once(ws, "message");
  assert.deepEqual([...(data as Buffer)], [0, 104, 105]);
  ws.close();
  await once(ws, "close");
  assert.equal(seen.at(-1)?.url, "/exec/default/web/c?input=1&output=1&error=1&command=sh&command=-c");
});

test("exec over SPDY passes bytes both ways, and ends with the client", async () => {
  const { ca, cert, key } = h.api.admin;
  const socket = connect({ host: "127.0.0.1", port: h.api.port, ca, cert, key } as Json);
  await once(socket, "secureConnect");
  const path = `${PODS}/web/exec?command=ls&stdout=true`;
  socket.write(
    `POST ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nContent-Length: 0\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n`,
  );
  const [head] = await once(socket, "data");
  assert.match(String(head), /^HTTP\/1\.1 101 /);
  socket.write("abc");
  const [echo] = await once(socket, "data");
  assert.equal(String(echo), "cba");
  assert.equal(seen.at(-1)?.headers["x-stream-protocol-version"], "v4.channel.k8s.io");
  assert.equal(seen.at(-1)?.headers.authorization, undefined);
  socket.destroy();
});

test("a refused exec is a Status on the upgrade request and on a plain POST", async () => {
  const ws = webSocket(`${PODS}/ghost/exec?command=ls&stdout=true`, "v5.channel.k8s.io");
  const [, response] = (await once(ws, "unexpected-response")) as [unknown, IncomingMessage];
  assert.equal(response.statusCode, 404);
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  assert.equal(JSON.parse(Buffer.concat(chunks).toString()).message, 'pods "ghost" not found');
  const plain = await h.call("POST", `${PODS}/web/exec?command=ls&stdout=true`);
  assert.equal(plain.status, 400);
  assert.equal(plain.body.message, "Upgrade request required");
  const waiting = await h.call("POST", `${PODS}/waiting/exec?command=ls&stdout=true`);
  assert.equal(waiting.body.message, "pod waiting does not have a host assigned");
  const refused = webSocket(`${PODS}/web/exec?command=refuse&stdout=true`, "v5.channel.k8s.io");
  const [, answer] = (await once(refused, "unexpected-response")) as [unknown, IncomingMessage];
  assert.equal(answer.statusCode, 403);
  answer.resume();
});

test("a log over a WebSocket is its bytes and then a close", async () => {
  const ws = webSocket(`${PODS}/web/log`, "binary.k8s.io");
  const [data, isBinary] = await once(ws, "message");
  assert.equal(String(data), "hello\n");
  assert.equal(isBinary, true);
  const [code] = await once(ws, "close");
  assert.equal(code, 1000);
});

test("watch over a WebSocket sends one event per message", async () => {
  const ws = webSocket(`${PODS}?watch=true&fieldSelector=metadata.name%3Dweb&timeoutSeconds=5`);
  const [message] = await once(ws, "message");
  assert.equal(JSON.parse(String(message)).object.metadata.name, "web");
  ws.close();
});

test("/proxy redirects to its trailing slash and does not reach loopback through a pod", async () => {
  const backend = createHttpServer((_request, response) => response.end("inside"));
  backend.listen(0, "127.0.0.1");
  await once(backend, "listening");
  const { port } = backend.address() as AddressInfo;
  const redirect = await h.call("GET", `${PODS}/web:${port}/proxy?x=1`);
  assert.equal(redirect.status, 301);
  assert.equal(redirect.headers.location, `${PODS}/web:${port}/proxy/?x=1`);
  const merge = { "content-type": "application/merge-patch+json" };
  await h.call("PATCH", `${PODS}/web/status`, {
    body: { status: { podIP: "127.0.0.1", podIPs: [{ ip: "127.0.0.1" }] } },
    headers: merge,
  });
  const loop = await h.call("GET", `${PODS}/web:${port}/proxy/`);
  backend.close();
  assert.equal(loop.status, 400);
  assert.equal(loop.body.message, "address not allowed");
  const node = await h.call("GET", "/api/v1/nodes/n1/proxy/some/path?q=1");
  assert.equal(node.status, 404);
  assert.equal(seen.at(-1)?.url, "/some/path?q=1");
});
