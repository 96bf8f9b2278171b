import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { TokenBucket } from "./token-bucket.ts";

test("TokenBucket.reserve() lets a burst pass and spaces out what follows", () => {
  const bucket = new TokenBucket({ perSecond: 10, burst: 3 });
  assert.deepEqual(
    [0, 0, 0, 0, 0].map((now) => bucket.reserve(now)),
    [0, 0, 0, 100, 200],
  );
  assert.equal(bucket.reserve(1000), 0, "a second later there are tokens again");
});

test("TokenBucket never lets more pass than its burst and its rate", () => {
  const options = { perSecond: 10, burst: 100 };
  const steps = fc.array(fc.integer({ min: 0, max: 2000 }), { minLength: 1, maxLength: 400 });
  fc.assert(
    fc.property(steps, (gaps) => {
      const bucket = new TokenBucket(options);
      let now = 0;
      const passes = gaps.map((gap) => {
        now += gap;
        return now + bucket.reserve(now);
      });
      for (const from of passes) {
        const within = passes.filter((at) => at >= from && at < from + 1000).length;
        assert.ok(within <= options.burst + options.perSecond + 1, `${within} within a second`);
      }
    }),
  );
});

test("tryTake() gives what is there, and takes nothing when there is none", () => {
  const bucket = new TokenBucket({ perSecond: 10, burst: 2 });
  assert.deepEqual(
    [0, 0, 0, 50, 99, 100, 150, 200].map((now) => bucket.tryTake(now)),
    [true, true, false, false, false, true, false, true],
  );
});
