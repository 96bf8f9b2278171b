/** Connections over the server's life: protocols, keep-alive, stopping, outages of etcd. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { test } from "node:test";
import { connect } from "node:tls";
import { configMap, EventReader, useApiserver } from "./api-harness.ts";

const h = useApiserver();
const CMS = "/api/v1/namespaces/default/configmaps";

test("HTTP/2 and HTTP/1.1 are served on one port; idle connections live longer than Go keeps them", async () => {
  const { ca, cert, key } = h.api.admin;
  const session = connectHttp2(h.api.server, { ca, cert, key } as never);
  const stream = session.request({ ":path": "/version" });
  const [headers] = await once(stream, "response");
  assert.equal(headers[":status"], 200);
  stream.resume();
  await once(stream, "end");
  session.close();
  const plain = await h.call("GET", "/version");
  const seconds = Number(/timeout=(\d+)/.exec(String(plain.headers["keep-alive"]))?.[1]);
  assert.ok(seconds > 90, `${seconds} s`);
});

test("TLS below 1.2 is refused", async () => {
  const socket = connect({
    host: "127.0.0.1",
    port: h.api.port,
    rejectUnauthorized: false,
    minVersion: "TLSv1",
    maxVersion: "TLSv1.1",
    ciphers: "DEFAULT@SECLEVEL=0",
  });
  const [error] = await once(socket, "error");
  assert.ok(error);
});

test("reads are served and writes refused with a retryable error while etcd is frozen, and nothing is lost", async () => {
  await h.create(CMS, configMap("steady", { a: "1" }));
  h.etcd.signal("SIGSTOP");
  const cached = await h.call("GET", `${CMS}/steady?resourceVersion=0`);
  assert.equal(cached.status, 200);
  const late = h.call("POST", `${CMS}?timeout=2s`, { body: configMap("late") });
  const answer = await late;
  h.etcd.signal("SIGCONT");
  assert.equal(answer.status, 504, answer.text);
  assert.equal(answer.body.reason, "Timeout");
  for (;;) {
    const again = await h.call("POST", CMS, { body: configMap("after") });
    if (again.status === 201 || again.body?.reason === "AlreadyExists") break;
    assert.ok(again.status >= 500, again.text);
  }
  assert.equal((await h.call("GET", `${CMS}/steady`)).body.data.a, "1");
});

test("watches go on over a restart of etcd", async () => {
  const { metadata } = (await h.call("GET", CMS)).body;
  const events = new EventReader(
    await h.open("GET", `${CMS}?watch=1&resourceVersion=${metadata.resourceVersion}&timeoutSeconds=60`),
  );
  await h.etcd.restart();
  for (;;) {
    const made = await h.call("POST", CMS, { body: configMap("reborn") });
    if (made.status === 201 || made.status === 409) break;
  }
  const event = await events.next();
  assert.equal(event.type, "ADDED");
  assert.equal(event.object.metadata.name, "reborn");
});

test("SIGTERM: GOAWAY, watches end cleanly, running requests are answered, the process leaves with 0", async () => {
  const { ca, cert, key } = h.api.admin;
  const session = connectHttp2(h.api.server, { ca, cert, key } as never);
  const goaway = once(session, "goaway");
  const stream = session.request({ ":path": `${CMS}?watch=1&resourceVersion=0` });
  await once(stream, "data");
  stream.resume();
  const http1 = new EventReader(await h.open("GET", `${CMS}?watch=1&resourceVersion=0`));
  await http1.next();
  const ended = once(stream, "end");
  const exit = h.api.terminate();
  await Promise.all([goaway, ended, http1.rest()]);
  assert.equal(stream.rstCode, 0);
  assert.ok(http1.ended);
  assert.equal(await exit, 0);
  await h.api.restart();
  assert.equal((await h.call("GET", "/readyz")).status, 200);
});
