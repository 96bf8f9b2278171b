import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "@knarr/testkit/fake-clock.ts";
import { Expectations } from "./expectations.ts";

test("Expectations.satisfied() is false until every creation was observed", () => {
  const expectations = new Expectations(new FakeClock());
  assert.ok(expectations.satisfied("a"));
  expectations.expectCreations("a", 2);
  expectations.creationObserved("a");
  assert.ok(!expectations.satisfied("a"));
  expectations.creationObserved("a");
  assert.ok(expectations.satisfied("a"));
});

test("Expectations.deletionObserved() counts a uid once when it is seen twice", () => {
  const expectations = new Expectations(new FakeClock());
  expectations.expectDeletions("a", ["u1", "u2"]);
  expectations.deletionObserved("a", "u1");
  expectations.deletionObserved("a", "u1");
  assert.ok(!expectations.satisfied("a"));
  expectations.deletionObserved("a", "u2");
  assert.ok(expectations.satisfied("a"));
});

test("Expectations.satisfied() believes the cache again when five minutes passed", async () => {
  const clock = new FakeClock();
  const expectations = new Expectations(clock);
  expectations.expectCreations("a", 1);
  await clock.advance(300_001);
  assert.ok(expectations.satisfied("a"));
});
