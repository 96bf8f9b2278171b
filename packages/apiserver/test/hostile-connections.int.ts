/** Connections that misbehave below HTTP: raw bytes on TLS, and HTTP/2 frames made by hand. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { connect as connectHttp2, constants } from "node:http2";
import { connect as connectTcp } from "node:net";
import { describe, test } from "node:test";
import { connect, type TLSSocket } from "node:tls";
import { systemClock } from "@knarr/daemon/clock.ts";
import { createLogger } from "@knarr/daemon/logger.ts";
import { HttpServer } from "../src/http/server.ts";
import { useApiserver } from "./api-harness.ts";

const api = useApiserver({ args: ["--request-timeout=6s"] });

function open(alpn = "http/1.1", port = api.api.port): Promise<TLSSocket> {
  const { ca, cert, key } = api.api.admin;
  return new Promise((resolve, reject) => {
    const socket = connect({
      host: "127.0.0.1",
      port,
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
      ALPNProtocols: [alpn],
    });
    socket.once("secureConnect", () => resolve(socket));
    socket.once("error", reject);
  });
}

/** Everything that comes back until the server closes. */
function converse(socket: TLSSocket, bytes: string | Buffer): Promise<string> {
  const chunks: Buffer[] = [];
  return new Promise((resolve) => {
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.on("error", () => {});
    socket.once("close", () => resolve(Buffer.concat(chunks).toString("latin1")));
    socket.write(bytes);
  });
}

async function assertHealthy(): Promise<void> {
  assert.equal((await api.call("GET", "/api/v1/namespaces/default")).status, 200);
}

const memoryMiB = (): number =>
  Math.round(Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${api.api.pid}/status`, "utf8"))?.[1] ?? 0) / 1024);

const head = (...lines: string[]): string =>
  `POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n`;
const smuggled = "GET /api/v1/namespaces/kube-system HTTP/1.1\r\nHost: x\r\n\r\n";

describe("request smuggling", () => {
  const shapes: readonly { readonly name: string; readonly bytes: string }[] = [
    {
      name: "both Content-Length and Transfer-Encoding",
      bytes: `${head("Host: x", "Content-Length: 4", "Transfer-Encoding: chunked")}0\r\n\r\n${smuggled}`,
    },
    { name: "two lengths", bytes: `${head("Host: x", "Content-Length: 0", "Content-Length: 60")}${smuggled}` },
    { name: "a signed length", bytes: `${head("Host: x", "Content-Length: +0")}${smuggled}` },
    { name: "a hexadecimal length", bytes: `${head("Host: x", "Content-Length: 0x0")}${smuggled}` },
    { name: "a space before the colon", bytes: `${head("Host: x", "Content-Length : 0")}${smuggled}` },
    { name: "a folded header", bytes: `${head("Host: x", "X-A: b", " Content-Length: 0")}${smuggled}` },
    {
      name: "chunked that is not last",
      bytes: `${head("Host: x", "Transfer-Encoding: chunked, identity")}${smuggled}`,
    },
    { name: "an unknown coding", bytes: `${head("Host: x", "Transfer-Encoding: xchunked")}${smuggled}` },
    {
      name: "a chunk size with a sign",
      bytes: `${head("Host: x", "Transfer-Encoding: chunked")}-1\r\n\r\n${smuggled}`,
    },
    {
      name: "a chunk size beyond 64 bits",
      bytes: `${head("Host: x", "Transfer-Encoding: chunked")}${"f".repeat(30)}\r\n${smuggled}`,
    },
    { name: "a bare line feed", bytes: `POST /version HTTP/1.1\nHost: x\nContent-Length: 0\n\n${smuggled}` },
    { name: "a NUL in a header", bytes: `${head("Host: x", "X-A: \u0000")}${smuggled}` },
    { name: "no Host", bytes: head("Content-Length: 0") },
    { name: "HTTP/9.9", bytes: `GET / HTTP/9.9\r\nHost: x\r\n\r\n${smuggled}` },
  ];
  for (const { name, bytes } of shapes) {
    test(`the server answers ${name} with 400 and closes the connection`, async () => {
      const answer = await converse(await open(), bytes);
      assert.match(answer, /^HTTP\/1\.1 400 /);
      assert.ok(!answer.includes("kube-system"), "the smuggled request was answered");
      await assertHealthy();
    });
  }
});

describe("floods of headers", () => {
  test("the server refuses a head of more than its limit", async () => {
    const answer = await converse(
      await open(),
      `GET /version HTTP/1.1\r\nHost: x\r\nX-A: ${"a".repeat(300_000)}\r\n\r\n`,
    );
    // The connection may be cut before the answer was read.
    assert.match(answer, /^$|^HTTP\/1\.1 4(00|31) /);
    await assertHealthy();
  });

  test("the server refuses or trims a head of 50,000 fields", async () => {
    const fields = Array.from({ length: 50_000 }, (_, i) => `X-${i}: a`).join("\r\n");
    const answer = await converse(await open(), `GET /version HTTP/1.1\r\nHost: x\r\n${fields}\r\n\r\n`);
    // The connection may be cut before the answer was read.
    assert.match(answer, /^$|^HTTP\/1\.1 4(00|31) /);
    await assertHealthy();
  });

  test("the server ends a session whose CONTINUATION frames never end", async () => {
    const socket = await open("h2");
    let closed = false;
    socket.on("error", () => {});
    socket.on("data", () => {});
    const gone = new Promise<void>((resolve) =>
      socket.once("close", () => {
        closed = true;
        resolve();
      }),
    );
    socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    socket.write(frame(0x4, 0, 0, Buffer.alloc(0)));
    // HEADERS without END_HEADERS: 0x82 is ":method: GET".
    socket.write(frame(0x1, 0, 1, Buffer.from([0x82])));
    // A literal header without indexing, name "a", value of 100 bytes, again and again.
    const field = Buffer.concat([Buffer.from([0x00, 0x01, 0x61, 100]), Buffer.alloc(100, 0x62)]);
    const continuation = frame(0x9, 0, 1, Buffer.concat(Array.from({ length: 100 }, () => field)));
    for (let i = 0; i < 5_000 && !closed; i++) {
      if (!socket.write(continuation)) await new Promise((resolve) => setImmediate(resolve));
    }
    await gone;
    await assertHealthy();
  });
});

function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const start = Buffer.alloc(9);
  start.writeUIntBE(payload.length, 0, 3);
  start[3] = type;
  start[4] = flags;
  start.writeUInt32BE(stream, 5);
  return Buffer.concat([start, payload]);
}

describe("HTTP/2 abuse", () => {
  test("the server ends a session that opens and resets streams in a burst", async () => {
    const { ca, cert, key } = api.api.admin;
    const session = connectHttp2(api.api.server, {
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
    });
    session.on("error", () => {});
    const gone = new Promise<void>((resolve) => session.once("close", resolve));
    await new Promise((resolve) => session.once("remoteSettings", resolve));
    for (let i = 0; i < 60_000 && !session.destroyed && !session.closed; i++) {
      const stream = session.request({ ":path": "/api/v1/pods" });
      stream.on("error", () => {});
      stream.close(constants.NGHTTP2_CANCEL);
      if (i % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await gone;
    await assertHealthy();
  });

  test("a method that no handler has is refused, whatever its name", async () => {
    const { ca, cert, key } = api.api.admin;
    const session = connectHttp2(api.api.server, {
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
    });
    for (const method of ["constructor", "__proto__", "toString", "CONNECT2"]) {
      for (const path of ["/api/v1/namespaces/default/pods", "/api/v1/namespaces/default/pods/x/log", "/version"]) {
        const stream = session.request({ ":method": method, ":path": path });
        stream.resume();
        const status = await new Promise<number>((resolve, reject) => {
          stream.once("response", (headers) => resolve(Number(headers[":status"])));
          stream.once("error", reject);
        });
        assert.ok(status < 500, `${method} ${path}: ${status}`);
      }
    }
    session.close();
    await assertHealthy();
  });

  test("pings and settings in a flood do not grow the server", async () => {
    const socket = await open("h2");
    socket.on("error", () => {});
    const before = memoryMiB();
    socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    socket.write(frame(0x4, 0, 0, Buffer.alloc(0)));
    // Never reads: answers pile up on the server's side.
    socket.pause();
    const batch = Buffer.concat(Array.from({ length: 500 }, () => frame(0x6, 0, 0, Buffer.alloc(8))));
    for (let i = 0; i < 200 && !socket.destroyed; i++) {
      if (!socket.write(batch)) await new Promise((resolve) => setImmediate(resolve));
    }
    await assertHealthy();
    assert.ok(memoryMiB() - before < 200, `memory grew from ${before} to ${memoryMiB()} MiB`);
    socket.destroy();
  });
});

describe("slow and idle clients", () => {
  test("a body that never ends is answered at the request timeout", async () => {
    const socket = await open();
    const answer = await converse(
      socket,
      `${head("Host: x", "Content-Type: application/json", "Content-Length: 1000", "Connection: close")}{"a":`,
    );
    assert.match(answer, /^HTTP\/1\.1 504 /);
    assert.match(answer, /"reason":"Timeout"/);
    await assertHealthy();
  });

  test("a head that never ends is cut at its own timeout", async () => {
    const pki = api.api.pki;
    const [cert, key] = await Promise.all([readFile(pki.path("apiserver.crt")), readFile(pki.path("apiserver.key"))]);
    const server = await HttpServer.listen({
      host: "127.0.0.1",
      port: 0,
      tls: { cert, key },
      clientCas: [],
      clock: systemClock,
      log: createLogger({ name: "test", level: "fatal" }),
      headTimeoutMs: 300,
      handle: () => Promise.resolve(),
    });
    try {
      for (const first of ["", "GET / HT", "GET / HTTP/1.1\r\nHost: x\r\n"]) {
        const socket = await open("http/1.1", server.port);
        const answer = await converse(socket, first);
        assert.match(answer, /^$|^HTTP\/1\.1 4/);
      }
    } finally {
      await server.close(0);
    }
  });

  test("1,000 idle TLS connections and 4,000 that never say a word leave others unharmed", async () => {
    const silent = Array.from({ length: 4_000 }, () => {
      const socket = connectTcp(api.api.port, "127.0.0.1");
      socket.on("error", () => {});
      return socket;
    });
    const idle: TLSSocket[] = [];
    try {
      for (let i = 0; i < 10; i++) idle.push(...(await Promise.all(Array.from({ length: 100 }, () => open()))));
      for (let i = 0; i < 50; i++) await assertHealthy();
      assert.ok(memoryMiB() < 1_000, `memory grew to ${memoryMiB()} MiB`);
    } finally {
      for (const socket of [...silent, ...idle]) socket.destroy();
    }
    await assertHealthy();
  });
});

test("a connection that many large lists wait on still takes requests", async () => {
  const body = { data: { fill: "x".repeat(300_000) } };
  for (let i = 0; i < 3; i++) {
    await api.create("/api/v1/namespaces/default/configmaps", { metadata: { name: `large-${i}` }, ...body });
  }
  const { ca, cert, key, server } = { ...api.api.admin, server: api.api.server };
  const session = connectHttp2(server, {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  });
  try {
    const answer = (path: string): Promise<number> =>
      new Promise((resolve, reject) => {
        const stream = session.request({ ":path": path });
        stream.once("response", (headers) => resolve(Number(headers[":status"])));
        stream.once("error", reject);
      });
    // Nobody reads them: each keeps a chunk of its list waiting in the server.
    const lists = await Promise.all(Array.from({ length: 120 }, () => answer("/api/v1/configmaps")));
    assert.deepEqual([...new Set(lists)], [200]);
    const others = await Promise.all(Array.from({ length: 50 }, () => answer("/version")));
    assert.deepEqual([...new Set(others)], [200]);
  } finally {
    session.destroy();
  }
  await assertHealthy();
});
