import assert from "node:assert/strict";
import { test } from "node:test";
import { AnswerCache } from "./cache.ts";
import type { Message, ResourceRecord } from "./message.ts";
import { encodeName } from "./name.ts";

const options = { maxEntries: 2, maxPositiveMs: 30_000, maxNegativeMs: 30_000 };
const name = encodeName("www.example.org");
const a = (ttlSeconds: number): ResourceRecord => ({
  name,
  type: 1,
  class: 1,
  ttlSeconds,
  data: Buffer.from([1, 2, 3, 4]),
});

function soa(ttlSeconds: number, minimumSeconds: number): ResourceRecord {
  const numbers = Buffer.alloc(20);
  numbers.writeUInt32BE(minimumSeconds, 16);
  return { name, type: 6, class: 1, ttlSeconds, data: Buffer.concat([name, name, numbers]) };
}

function message(flags: number, answers: ResourceRecord[], authorities: ResourceRecord[] = []): Message {
  return { id: 1, flags, question: { name, type: 1, class: 1 }, answers, authorities, additionals: [] };
}

for (const { what, given, keptMs } of [
  { what: "an answer for its TTL", given: message(0x8180, [a(60), a(10)]), keptMs: 10_000 },
  { what: "an answer for 30 s at most", given: message(0x8180, [a(3600)]), keptMs: 30_000 },
  { what: "NXDOMAIN for the SOA's minimum", given: message(0x8183, [], [soa(60, 20)]), keptMs: 20_000 },
  { what: "NODATA for the SOA's TTL", given: message(0x8180, [], [soa(5, 20)]), keptMs: 5_000 },
  { what: "NXDOMAIN without SOA not at all", given: message(0x8183, []), keptMs: 0 },
  { what: "SERVFAIL not at all", given: message(0x8182, [a(60)]), keptMs: 0 },
  { what: "an answer with TTL 0 not at all", given: message(0x8180, [a(0)]), keptMs: 0 },
]) {
  test(`get() keeps ${what}`, () => {
    const cache = new AnswerCache(options);
    cache.set("x", given, 1000);
    assert.equal(cache.get("x", 1000 + keptMs - 1) !== undefined, keptMs > 0);
    cache.set("x", given, 1000);
    assert.equal(cache.get("x", 1000 + keptMs), undefined);
  });
}

test("get() counts TTLs down", () => {
  const cache = new AnswerCache(options);
  cache.set("x", message(0x8180, [a(20)]), 1000);
  assert.equal(cache.get("x", 8500)?.answers[0]?.ttlSeconds, 13);
});

test("set() drops the least recently used entry when full", () => {
  const cache = new AnswerCache(options);
  for (const key of ["a", "b"]) cache.set(key, message(0x8180, [a(20)]), 0);
  cache.get("a", 1);
  cache.set("c", message(0x8180, [a(20)]), 2);
  assert.deepEqual(
    ["a", "b", "c"].map((key) => cache.get(key, 3) !== undefined),
    [true, false, true],
  );
});
