import assert from "node:assert/strict";
import { test } from "node:test";
import { Registry } from "prom-client";
import { renderHealth, serveHealth } from "./health-server.ts";
import { silentLogger } from "./logger.ts";

const checks = { ping: () => undefined, etcd: async () => "connection refused" };

test("renderHealth() answers ok alone when all checks pass", async () => {
  assert.deepEqual(await renderHealth("livez", { ping: () => undefined }, { verbose: false }), {
    ok: true,
    text: "ok",
  });
});

test("renderHealth() lists every check when one fails", async () => {
  assert.deepEqual(await renderHealth("readyz", checks, { verbose: false }), {
    ok: false,
    text: "[+]ping ok\n[-]etcd failed: connection refused\nreadyz check failed\n",
  });
});

test("renderHealth() passes when the failing check is excluded", async () => {
  const result = await renderHealth("readyz", checks, { verbose: true, exclude: ["etcd"] });
  assert.ok(result.ok);
  assert.match(result.text, /\[\+\]etcd excluded: ok/);
});

test("serveHealth() serves checks, single checks and metrics when asked, and closes when aborted", async () => {
  const controller = new AbortController();
  const registry = new Registry();
  const server = await serveHealth({
    host: "127.0.0.1",
    port: 0,
    checks: { livez: { ping: () => undefined }, readyz: checks },
    registry,
    signal: controller.signal,
    log: silentLogger(),
  });
  const get = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${server.port}${path}`);
    return { status: response.status, text: await response.text() };
  };
  assert.deepEqual(await get("/livez"), { status: 200, text: "ok" });
  assert.equal((await get("/readyz")).status, 500);
  assert.deepEqual(await get("/readyz/ping"), { status: 200, text: "ok" });
  assert.match((await get("/readyz/etcd")).text, /connection refused/);
  assert.equal((await get("/metrics")).status, 200);
  assert.equal((await get("/nope")).status, 404);
  controller.abort();
  await server.closed;
});
