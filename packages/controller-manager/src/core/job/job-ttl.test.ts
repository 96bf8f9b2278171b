import assert from "node:assert/strict";
import { test } from "node:test";
import { at, job, NOW } from "./job-fixture.ts";
import { expiryMs } from "./job-ttl.ts";

const ended = { conditions: [{ type: "Failed", status: "True", lastTransitionTime: at(30) }] };

test("expiryMs() is the TTL after the end", () => {
  assert.equal(expiryMs(job({ ttlSecondsAfterFinished: 40 }, ended)), NOW + 10_000);
  assert.equal(expiryMs(job({ ttlSecondsAfterFinished: 0 }, ended)), NOW - 30_000);
});
test("expiryMs() is undefined when the Job runs, has no TTL or is being deleted", () => {
  assert.equal(expiryMs(job({ ttlSecondsAfterFinished: 40 })), undefined);
  assert.equal(expiryMs(job({}, ended)), undefined);
  const going = job({ ttlSecondsAfterFinished: 40 }, ended);
  going.metadata.deletionTimestamp = at(1);
  assert.equal(expiryMs(going), undefined);
});
