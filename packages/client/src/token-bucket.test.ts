import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "@knarr/testkit/fake-clock.ts";
import { TokenBucket } from "./token-bucket.ts";

/** When each of `count` requests made now may go, in ms from now. */
async function times(bucket: TokenBucket, clock: FakeClock, count: number): Promise<number[]> {
  const startedMs = clock.monotonicMs();
  const passed: number[] = [];
  const all = Array.from({ length: count }, () =>
    bucket.take().then(() => passed.push(Math.round(clock.monotonicMs() - startedMs))),
  );
  for (let i = 0; i < 100 && passed.length < count; i++) await clock.advance(50);
  await Promise.all(all);
  return passed;
}

test("TokenBucket.take() lets a burst pass and then so many a second", async () => {
  const clock = new FakeClock();
  const bucket = new TokenBucket({ qps: 10, burst: 2 }, clock);
  assert.deepEqual(await times(bucket, clock, 5), [0, 0, 100, 200, 300]);
});

test("TokenBucket.take() fills up to the burst and no further while nobody asks", async () => {
  const clock = new FakeClock();
  const bucket = new TokenBucket({ qps: 10, burst: 3 }, clock);
  await times(bucket, clock, 3);
  await clock.advance(60_000);
  assert.deepEqual(await times(bucket, clock, 4), [0, 0, 0, 100]);
});

test("TokenBucket.take() rejects with the signal's reason and gives its place back", async () => {
  const clock = new FakeClock();
  const bucket = new TokenBucket({ qps: 10, burst: 1 }, clock);
  await bucket.take();
  const aborter = new AbortController();
  const given = bucket.take(aborter.signal);
  aborter.abort(new Error("enough"));
  await assert.rejects(given, /enough/);
  assert.deepEqual(await times(bucket, clock, 1), [100]);
});

test("TokenBucket refuses a rate that lets nothing pass", () => {
  assert.throws(() => new TokenBucket({ qps: 0, burst: 1 }, new FakeClock()), RangeError);
});
