/** TLS as clients meet it: versions, names, and certificates that change under open connections. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { connect as connectHttp2 } from "node:http2";
import { Agent, request as httpsRequest } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type ConnectionOptions, connect } from "node:tls";
import { systemClock } from "@knarr/daemon/clock.ts";
import { createLogger } from "@knarr/daemon/logger.ts";
import { TestPki } from "@knarr/testkit/test-pki.ts";
import { sendText } from "../src/http/respond.ts";
import { HttpServer } from "../src/http/server.ts";

let dir = "";
let server: HttpServer;
const pairs = new Map<string, { cert: Buffer; key: Buffer }>();
const pair = (name: string) => pairs.get(name) as { cert: Buffer; key: Buffer };

before(async () => {
  dir = await mkdtemp(join(tmpdir(), "knarr-tls-"));
  const pki = await TestPki.create(dir);
  for (const name of ["first", "second", "other"]) {
    const { cert, key } = await pki.issue(name, { commonName: name, dnsNames: ["localhost"] });
    pairs.set(name, { cert: Buffer.from(cert), key: Buffer.from(key) });
  }
  server = await HttpServer.listen({
    host: "127.0.0.1",
    port: 0,
    tls: pair("first"),
    sniCertificates: [{ names: ["*.example.com"], tls: pair("other") }],
    clientCas: [],
    clock: systemClock,
    log: createLogger({ name: "test", level: "fatal" }),
    handle: (context) => sendText(context, 200, "ok"),
  });
});

after(async () => {
  await server?.close(0);
  await rm(dir, { recursive: true, force: true });
});

/** Whose certificate a new connection sees, and how it is encrypted. */
function handshake(options: ConnectionOptions = {}): Promise<{ name: string; version: string | null }> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: "127.0.0.1", port: server.port, rejectUnauthorized: false, ...options });
    socket.once("secureConnect", () => {
      resolve({ name: String(socket.getPeerCertificate().subject.CN), version: socket.getProtocol() });
      socket.destroy();
    });
    socket.once("error", reject);
  });
}

test("TLS 1.2 and 1.3 are spoken, nothing older, and no suite without forward secrecy", async () => {
  assert.equal((await handshake()).version, "TLSv1.3");
  assert.equal((await handshake({ maxVersion: "TLSv1.2" })).version, "TLSv1.2");
  await assert.rejects(handshake({ minVersion: "TLSv1.1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" }));
  await assert.rejects(handshake({ maxVersion: "TLSv1.2", ciphers: "AES128-SHA:AES128-GCM-SHA256" }));
});

test("a server name gets its own certificate", async () => {
  assert.equal((await handshake({ servername: "api.example.com" })).name, "other");
  assert.equal((await handshake({ servername: "example.org" })).name, "first");
});

test("a new certificate is for new connections, and open ones go on", async () => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: false });
  const session = connectHttp2(`https://127.0.0.1:${server.port}`, { rejectUnauthorized: false });
  const overHttp1 = () =>
    new Promise<string>((resolve, reject) => {
      const outgoing = httpsRequest({ host: "127.0.0.1", port: server.port, agent }, (response) => {
        const { localPort = 0 } = response.socket;
        response.resume().once("end", () => resolve(`${response.statusCode} ${localPort}`));
      });
      outgoing.once("error", reject).end();
    });
  const overHttp2 = () =>
    new Promise<number>((resolve, reject) => {
      const stream = session.request({ ":path": "/" });
      stream.once("response", (headers) => resolve(Number(headers[":status"])));
      stream.once("error", reject);
      stream.resume();
    });
  try {
    const before = await overHttp1();
    assert.equal(await overHttp2(), 200);
    server.setTls(pair("second"), []);
    assert.equal((await handshake()).name, "second");
    assert.equal((await handshake({ servername: "a.example.com" })).name, "other");
    assert.equal(await overHttp1(), before, "another connection, or another answer");
    assert.equal(await overHttp2(), 200);
    server.setSniCertificates([]);
    assert.equal((await handshake({ servername: "a.example.com" })).name, "second");
    await assert.rejects(handshake({ minVersion: "TLSv1.1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" }));
  } finally {
    agent.destroy();
    session.destroy();
  }
});
