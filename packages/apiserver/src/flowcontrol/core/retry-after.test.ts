import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { RetryAfter } from "./retry-after.ts";

/** `perSecond` refusals in each of `seconds`, evenly. */
function refuse(tracker: RetryAfter, from: number, seconds: number, perSecond: number): number {
  for (let s = 0; s < seconds; s++) {
    for (let i = 0; i < perSecond; i++) tracker.dropped("level", (from + s) * 1000 + i);
  }
  return from + seconds;
}

test("RetryAfter.secondsFor() is a second at first, doubles under a flood up to 32, and falls by one when it is over", () => {
  const tracker = new RetryAfter();
  assert.equal(tracker.secondsFor("level"), 1);
  const seen: number[] = [];
  for (let second = 0; second < 8; second++) {
    refuse(tracker, second, 1, 10);
    seen.push(tracker.secondsFor("level"));
  }
  assert.deepEqual(seen, [1, 2, 2, 4, 4, 4, 4, 8]);
  let now = refuse(tracker, 8, 120, 10);
  assert.equal(tracker.secondsFor("level"), 32);
  assert.equal(tracker.secondsFor("other"), 1);
  for (let i = 0; i < 40; i++) {
    now += 40;
    tracker.dropped("level", now * 1000);
    if (i === 0) assert.equal(tracker.secondsFor("level"), 31);
  }
  assert.equal(tracker.secondsFor("level"), 1);
});

test("RetryAfter.secondsFor() stays where it is between one and three refusals a second", () => {
  const tracker = new RetryAfter();
  const calm = refuse(tracker, refuse(tracker, 0, 4, 10), 10, 2);
  const before = tracker.secondsFor("level");
  refuse(tracker, calm, 60, 2);
  assert.equal(tracker.secondsFor("level"), before);
});

test("RetryAfter.secondsFor() is a whole number from 1 to 32, whatever happens", () => {
  const steps = fc.array(
    fc.record({ gapMs: fc.integer({ min: 0, max: 5000 }), times: fc.integer({ min: 1, max: 20 }) }),
  );
  fc.assert(
    fc.property(steps, (list) => {
      const tracker = new RetryAfter();
      let now = 0;
      for (const { gapMs, times } of list) {
        now += gapMs;
        for (let i = 0; i < times; i++) tracker.dropped("level", now);
        const seconds = tracker.secondsFor("level");
        assert.ok(Number.isInteger(seconds) && seconds >= 1 && seconds <= 32, `${seconds}`);
      }
    }),
  );
});
