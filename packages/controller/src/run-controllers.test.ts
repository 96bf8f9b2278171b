import assert from "node:assert/strict";
import { test } from "node:test";
import { selectControllers } from "./run-controllers.ts";
import { slowStart } from "./slow-start.ts";

const start = async () => undefined;
const descriptors = [
  { name: "a-controller", aliases: ["a"], start },
  { name: "b-controller", start },
  { name: "c-controller", offByDefault: true, start },
];
const rows: { words: string[]; want: string[] }[] = [
  { words: ["*"], want: ["a-controller", "b-controller"] },
  { words: ["*", "-a"], want: ["b-controller"] },
  { words: ["-a-controller", "*"], want: ["b-controller"] },
  { words: ["*", "c-controller"], want: ["a-controller", "b-controller", "c-controller"] },
  { words: ["a"], want: ["a-controller"] },
  { words: ["a", "-a", "*"], want: ["a-controller", "b-controller"] },
  { words: [], want: [] },
];
for (const { words, want } of rows) {
  test(`selectControllers() picks ${want.join(" and ") || "none"} when given ${words.join(",")}`, () => {
    assert.deepEqual(
      selectControllers(descriptors, words).map((d) => d.name),
      want,
    );
  });
}

test("selectControllers() throws when a name is unknown", () => {
  assert.throws(() => selectControllers(descriptors, ["-nope"]), /"nope" is not in the list of known controllers/);
});

test("selectControllers() passes over names that are known but not there", () => {
  const picked = selectControllers(descriptors, ["*", "-cloud", "route"], ["cloud", "route"]);
  assert.deepEqual(
    picked.map((d) => d.name),
    ["a-controller", "b-controller"],
  );
});

const batches: { name: string; count: number; failAt: number; wantSent: number; wantSucceeded: number }[] = [
  { name: "all succeed", count: 10, failAt: -1, wantSent: 10, wantSucceeded: 10 },
  { name: "the first fails", count: 10, failAt: 0, wantSent: 1, wantSucceeded: 0 },
  { name: "one of the third batch fails", count: 20, failAt: 4, wantSent: 7, wantSucceeded: 6 },
  { name: "nothing is to be done", count: 0, failAt: -1, wantSent: 0, wantSucceeded: 0 },
];
for (const { name, count, failAt, wantSent, wantSucceeded } of batches) {
  test(`slowStart() sends ${wantSent} of ${count} when ${name}`, async () => {
    let sent = 0;
    const { succeeded, error } = await slowStart(count, async (index) => {
      sent++;
      if (index === failAt) throw new Error("no");
    });
    assert.deepEqual([sent, succeeded, error === undefined], [wantSent, wantSucceeded, failAt < 0]);
  });
}
