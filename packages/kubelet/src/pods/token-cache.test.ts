import assert from "node:assert/strict";
import test from "node:test";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { Client } from "@knarr/client/client.ts";
import { FakeClock } from "@knarr/testkit/fake-clock.ts";
import { TokenCache } from "./token-cache.ts";

const pod: Pod = { metadata: { name: "p", namespace: "d", uid: "u" }, spec: { containers: [] } };
const HOUR_MS = 3_600_000;

/** A server that hands out "token-1", "token-2" and so on, each good for `lifeMs`, unless it is down. */
function makeCache(lifeMs: number) {
  const clock = new FakeClock();
  const server = { issued: 0, isDown: false, aheadMs: 0, stalled: Promise.resolve() };
  const client = {
    createSubresource: async () => {
      if (server.isDown) throw new Error("down");
      await server.stalled;
      const expirationTimestamp = new Date(clock.now() + server.aheadMs + lifeMs).toISOString();
      const spec = { audiences: [], expirationSeconds: lifeMs / 1000 };
      return { spec, status: { token: `token-${++server.issued}`, expirationTimestamp } };
    },
  } as unknown as Client;
  return { clock, server, cache: new TokenCache(client, clock) };
}

test("token() renews at 80 % of a token's life, and once a day at the latest", async () => {
  for (const { lifeMs, renewMs } of [
    { lifeMs: HOUR_MS, renewMs: 0.8 * HOUR_MS },
    { lifeMs: 10 * 24 * HOUR_MS, renewMs: 24 * HOUR_MS },
  ]) {
    const { clock, cache } = makeCache(lifeMs);
    assert.equal(await cache.token(pod, "", 3600), "token-1");
    await clock.advance(renewMs - 1000);
    assert.equal(await cache.token(pod, "", 3600), "token-1");
    await clock.advance(1000);
    assert.equal(await cache.token(pod, "", 3600), "token-2");
  }
});

test("token() gives the old token while it holds when no new one can be had, and then fails", async () => {
  const { clock, server, cache } = makeCache(HOUR_MS);
  await cache.token(pod, "", 3600);
  server.isDown = true;
  await clock.advance(0.9 * HOUR_MS);
  assert.equal(await cache.token(pod, "", 3600), "token-1");
  server.isDown = false;
  assert.equal(await cache.token(pod, "", 3600), "token-2");
  server.isDown = true;
  await clock.advance(HOUR_MS);
  await assert.rejects(cache.token(pod, "", 3600), /down/);
});

test("token() keeps audiences apart and forgets a pod", async () => {
  const { cache } = makeCache(HOUR_MS);
  assert.equal(await cache.token(pod, "a", 3600), "token-1");
  assert.equal(await cache.token(pod, "b", 3600), "token-2");
  cache.forget("u");
  assert.equal(await cache.token(pod, "a", 3600), "token-3");
});

for (const { name, jumpMs } of [
  { name: "back an hour", jumpMs: -HOUR_MS },
  { name: "back a year", jumpMs: -365 * 24 * HOUR_MS },
]) {
  test(`token() renews in time, not sooner and not later, when the clock jumps ${name}`, async () => {
    const { clock, cache } = makeCache(HOUR_MS);
    await cache.token(pod, "", 3600);
    clock.jump(jumpMs);
    await clock.advance(0.79 * HOUR_MS);
    assert.equal(await cache.token(pod, "", 3600), "token-1");
    await clock.advance(0.02 * HOUR_MS);
    assert.equal(await cache.token(pod, "", 3600), "token-2");
  });
}

test("token() renews once after the machine slept, and keeps what holds when nobody answers", async () => {
  const { clock, server, cache } = makeCache(HOUR_MS);
  await cache.token(pod, "", 3600);
  server.isDown = true;
  clock.jump(24 * HOUR_MS);
  assert.equal(await cache.token(pod, "", 3600), "token-1");
  server.isDown = false;
  assert.equal(await cache.token(pod, "", 3600), "token-2");
  assert.equal(await cache.token(pod, "", 3600), "token-2");
});

for (const aheadMs of [-24 * HOUR_MS, 24 * HOUR_MS]) {
  test(`token() reckons with a token's life when the server's clock differs by ${aheadMs / HOUR_MS} hours`, async () => {
    const { clock, server, cache } = makeCache(HOUR_MS);
    server.aheadMs = aheadMs;
    await cache.token(pod, "", 3600);
    assert.equal(await cache.token(pod, "", 3600), "token-1");
    await clock.advance(0.81 * HOUR_MS);
    assert.equal(await cache.token(pod, "", 3600), "token-2");
  });
}

test("token() gives the old token while the server stalls, asks once, and then has the new one", async () => {
  const { clock, server, cache } = makeCache(HOUR_MS);
  await cache.token(pod, "", 3600);
  await clock.advance(0.9 * HOUR_MS);
  const { promise, resolve } = Promise.withResolvers<void>();
  server.stalled = promise;
  for (let look = 0; look < 2; look++) {
    const token = cache.token(pod, "", 3600);
    await clock.advance(1000);
    assert.equal(await token, "token-1");
  }
  resolve();
  assert.equal(await cache.token(pod, "", 3600), "token-2");
  assert.equal(server.issued, 2);
});

test("token() fails when the first one can't be had, and asks again", async () => {
  const { server, cache } = makeCache(HOUR_MS);
  server.isDown = true;
  await assert.rejects(cache.token(pod, "", 3600), /down/);
  server.isDown = false;
  assert.equal(await cache.token(pod, "", 3600), "token-1");
});
