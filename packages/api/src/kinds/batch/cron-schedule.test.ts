import assert from "node:assert/strict";
import { test } from "node:test";
import { cronScheduleProblem } from "./cron-schedule.ts";

for (const good of [
  "* * * * *",
  "*/5 0-6 1,15 jan-MAR sun",
  "0 22 * * 1-5",
  "@hourly",
  "@every 1h30m",
  "5/10 * ? * *",
]) {
  test(`cronScheduleProblem() has none for ${good}`, () => assert.equal(cronScheduleProblem(good), undefined));
}

const bad: readonly (readonly [schedule: string, want: RegExp])[] = [
  ["", /empty spec string/],
  ["* * * *", /expected exactly 5 fields, found 4: \[\* \* \* \*\]/],
  ["60 * * * *", /end of range \(60\) above maximum \(59\): 60/],
  ["* * 0 * *", /beginning of range \(0\) below minimum \(1\): 0/],
  ["5-1 * * * *", /beginning of range \(5\) beyond end of range \(1\): 5-1/],
  ["*/0 * * * *", /step of range should be a positive number/],
  ["x * * * *", /failed to parse int from x/],
  ["@often", /unrecognized descriptor: @often/],
];

for (const [schedule, want] of bad) {
  test(`cronScheduleProblem() names what is wrong with ${JSON.stringify(schedule)}`, () => {
    assert.match(cronScheduleProblem(schedule) ?? "", want);
  });
}
