import assert from "node:assert/strict";
import { test } from "node:test";
import { Backoff } from "./backoff.ts";

test("Backoff.next() doubles up to the maximum when a key fails again, each key by itself", () => {
  const backoff = new Backoff({ initialMs: 100, maxMs: 500 });
  assert.deepEqual([backoff.next("a"), backoff.next("a"), backoff.next("a"), backoff.next("a")], [100, 200, 400, 500]);
  assert.equal(backoff.next("b"), 100);
});

test("Backoff.reset() starts again when a key succeeded", () => {
  const backoff = new Backoff({ initialMs: 100, maxMs: 500 });
  backoff.next();
  backoff.reset();
  assert.equal(backoff.next(), 100);
});

test("Backoff.next() adds at most the jitter's share when jitter is set", () => {
  const backoff = new Backoff({ initialMs: 100, maxMs: 500, jitter: 0.5, random: () => 0.5 });
  assert.equal(backoff.next(), 125);
});
