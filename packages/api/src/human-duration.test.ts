import assert from "node:assert/strict";
import { test } from "node:test";
import { ageSince, humanDuration } from "./human-duration.ts";

const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;

const table: readonly (readonly [ms: number, want: string])[] = [
  [-3 * second, "<invalid>"],
  [-1.5 * second, "0s"],
  [0, "0s"],
  [119 * second, "119s"],
  [120 * second, "2m"],
  [minute * 3 + 12 * second, "3m12s"],
  [10 * minute + 5 * second, "10m"],
  [179 * minute, "179m"],
  [3 * hour, "3h"],
  [7 * hour + 5 * minute, "7h5m"],
  [8 * hour + 5 * minute, "8h"],
  [47 * hour, "47h"],
  [2 * day, "2d"],
  [7 * day + 23 * hour, "7d23h"],
  [8 * day + 23 * hour, "8d"],
  [729 * day, "729d"],
  [730 * day, "2y"],
  [745 * day, "2y15d"],
  [8 * 365 * day + day, "8y"],
];

for (const [ms, want] of table) {
  test(`humanDuration() shows ${want} for ${ms} ms`, () => assert.equal(humanDuration(ms), want));
}

test("ageSince() says that it doesn't know when there is no time", () => {
  assert.equal(ageSince(undefined, 0), "<unknown>");
  assert.equal(ageSince("1970-01-01T00:00:01Z", 6000), "5s");
});
