/**
 * Malformed WebSocket and SPDY frames through every upgrade that the API server answers: a watch, which it frames itself,
 * and exec, attach and port-forward, which it joins to a kubelet that this file plays. Seeded: KNARR_FRAMES_SEED.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { after, test } from "node:test";
import { connect, type TLSSocket } from "node:tls";
import { WebSocketServer } from "ws";
import { type Harness, pod, useApiserver } from "./api-harness.ts";
import { Random } from "./fuzz/random.ts";

const SHOTS = 120;
const seed = Number(process.env.KNARR_FRAMES_SEED ?? 20_261_121);
let kubelet: Server;
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
  kubelet = createServer({ cert, key });
  const sockets = new WebSocketServer({ noServer: true, handleProtocols: (offered) => [...offered][0] ?? false });
  kubelet.on("upgrade", (request, socket, head) => {
    socket.on("error", () => {});
    if (request.headers.upgrade === "SPDY/3.1") {
      socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n");
      socket.on("data", (data: Buffer) => socket.write(data));
    } else {
      sockets.handleUpgrade(request, socket, head, (ws) => {
        ws.on("error", () => ws.terminate());
        ws.on("message", (data, isBinary) => ws.send(data, { binary: isBinary }));
      });
    }
  });
  kubelet.listen(0, "127.0.0.1");
  await once(kubelet, "listening");
  await harness.create("/api/v1/namespaces/default/serviceaccounts", { metadata: { name: "default" } });
  await harness.create("/api/v1/nodes", { metadata: { name: "n1" } });
  const status = {
    addresses: [{ type: "InternalIP", address: "127.0.0.1" }],
    daemonEndpoints: { kubeletEndpoint: { Port: (kubelet.address() as AddressInfo).port } },
  };
  const merge = { "content-type": "application/merge-patch+json" };
  await harness.call("PATCH", "/api/v1/nodes/n1/status", { body: { status }, headers: merge });
  await harness.create("/api/v1/namespaces/default/pods", pod("web", { nodeName: "n1" }));
}

function open(): Promise<TLSSocket> {
  const { ca, cert, key } = h.api.admin;
  return new Promise((resolve, reject) => {
    const socket = connect({
      host: "127.0.0.1",
      port: h.api.port,
      ALPNProtocols: ["http/1.1"],
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
    });
    socket.once("secureConnect", () => resolve(socket));
    socket.once("error", reject);
  });
}

interface Upgrade {
  readonly path: string;
  readonly protocol: string;
  readonly kind: "websocket" | "SPDY/3.1";
}
const POD = "/api/v1/namespaces/default/pods/web";
const upgrades: readonly Upgrade[] = [
  { path: "/api/v1/namespaces/default/configmaps?watch=true", protocol: "", kind: "websocket" },
  { path: `${POD}/exec?command=x&stdin=true&stdout=true`, protocol: "v5.channel.k8s.io", kind: "websocket" },
  { path: `${POD}/attach?stdin=true&stdout=true`, protocol: "v4.channel.k8s.io", kind: "websocket" },
  { path: `${POD}/portforward?ports=80`, protocol: "v4.channel.k8s.io", kind: "websocket" },
  { path: `${POD}/exec?command=x&stdin=true&stdout=true`, protocol: "v4.channel.k8s.io", kind: "SPDY/3.1" },
  { path: `${POD}/portforward`, protocol: "portforward.k8s.io", kind: "SPDY/3.1" },
];

function handshake({ path, protocol, kind }: Upgrade, random: Random): string {
  const lines = [`GET ${path} HTTP/1.1`, "Host: localhost", "Connection: Upgrade", `Upgrade: ${kind}`];
  if (kind === "websocket") {
    lines.push("Sec-WebSocket-Version: 13", `Sec-WebSocket-Key: ${random.bytes(16).toString("base64")}`);
    if (protocol !== "") lines.push(`Sec-WebSocket-Protocol: ${protocol}`);
  } else lines.push(`X-Stream-Protocol-Version: ${protocol}`);
  return `${lines.join("\r\n")}\r\n\r\n`;
}

/** A frame that breaks a rule of RFC 6455, or none: reserved bits, opcodes, lengths that lie, masks that are not there. */
function webSocketFrame(random: Random): Buffer {
  const opcode = random.pick([0, 1, 2, 3, 7, 8, 9, 10, 11, 15]);
  const first = (random.chance(0.7) ? 0x80 : 0) | (random.chance(0.2) ? random.int(8) << 4 : 0) | opcode;
  const masked = random.chance(0.8) ? 0x80 : 0;
  const payload = random.bytes(random.pick([0, 1, 2, 5, 125, 126, 300]));
  const told = random.chance(0.7) ? payload.length : random.pick([0, 1, 125, 126, 127, 65_535]);
  const length =
    told < 126
      ? Buffer.of(masked | told)
      : random.chance(0.5)
        ? Buffer.of(masked | 126, told >> 8, told & 255)
        : Buffer.concat([Buffer.of(masked | 127), random.chance(0.5) ? Buffer.alloc(8, 255) : random.bytes(8)]);
  const mask = masked === 0 ? Buffer.alloc(0) : random.bytes(4);
  return Buffer.concat([Buffer.of(first), length, mask, payload]);
}

/** SPDY/3.1 control and data frames with types, lengths and header blocks that are none. */
function spdyFrame(random: Random): Buffer {
  const payload = random.bytes(random.int(200));
  const told = random.chance(0.7) ? payload.length : random.pick([0, 1, 0xff_ff_ff]);
  const head = random.chance(0.6)
    ? Buffer.of(0x80, random.pick([3, 2, 0, 255]), 0, random.int(12))
    : random.bytes(4).fill(0, 0, 1);
  return Buffer.concat([head, Buffer.of(random.int(256), told >> 16, (told >> 8) & 255, told & 255), payload]);
}

async function shoot(upgrade: Upgrade, random: Random): Promise<string> {
  const socket = await open();
  let answer = "";
  const answered = Promise.withResolvers<void>();
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  socket.on("error", () => {});
  socket.on("data", (chunk: Buffer) => {
    if (answer.length < 4096) answer += chunk.toString("latin1");
    if (answer.includes("\r\n\r\n")) answered.resolve();
  });
  socket.write(handshake(upgrade, random));
  await Promise.race([answered.promise, closed]);
  const make = upgrade.kind === "websocket" ? webSocketFrame : spdyFrame;
  for (let i = random.int(6); i >= 0 && !socket.destroyed; i--) {
    const frame = random.chance(0.15) ? random.bytes(random.int(400)) : make(random);
    // In one piece, cut anywhere, or cut off.
    const cut = random.chance(0.5) ? frame.length : random.int(frame.length + 1);
    socket.write(frame.subarray(0, cut));
    if (random.chance(0.7)) socket.write(frame.subarray(cut));
  }
  if (random.chance(0.5)) socket.end();
  else socket.destroy();
  await closed;
  return answer.slice(0, answer.indexOf("\r\n"));
}

const memoryMiB = () =>
  Math.round(Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${h.api.pid}/status`, "utf8"))?.[1] ?? 0) / 1024);

for (const upgrade of upgrades) {
  const name = `${upgrade.path.replace(/\?.*/, "")} over ${upgrade.kind} ${upgrade.protocol}`;
  test(`broken frames at ${name} (seed ${seed}) cost their own connection and nobody else's`, {
    timeout: 300_000,
  }, async () => {
    const random = new Random(seed);
    const { pid } = h.api;
    const before = memoryMiB();
    for (let i = 0; i < SHOTS; i++) {
      const status = await shoot(upgrade, random);
      assert.match(status, /^HTTP\/1\.1 101 /, `shot ${i}: ${status}`);
      if (i % 20 === 0) assert.equal((await h.call("GET", "/api/v1/namespaces/default")).status, 200);
    }
    assert.equal(h.api.pid, pid, "the API server was started anew");
    assert.equal((await h.call("GET", "/readyz")).text, "ok");
    assert.ok(memoryMiB() < before + 300, `memory grew from ${before} to ${memoryMiB()} MiB`);
  });
}
