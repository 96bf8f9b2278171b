import assert from "node:assert/strict";
import { test } from "node:test";
import { firstAnswer } from "./first-answer.ts";
import { type Authentication, AuthenticationError } from "./types.ts";

const known: Authentication = { user: { name: "ada", uid: "", groups: [], extra: {} } };
const refuse = (text: string) => () => {
  throw new AuthenticationError(text);
};
type Way = () => Authentication | undefined | Promise<Authentication | undefined>;
const ways: Record<string, Way> = {
  knows: () => known,
  "knows later": async () => known,
  passes: () => undefined,
  "passes later": async () => undefined,
  refuses: refuse("old"),
  "refuses later": async () => refuse("late")(),
};
const ask = async (...names: string[]) => firstAnswer(names, (name) => (ways[name] as Way)());

for (const names of [
  ["passes", "knows", "refuses"],
  ["passes later", "refuses", "knows"],
  ["refuses later", "knows later"],
  ["refuses", "passes later", "refuses later", "knows"],
]) {
  test(`firstAnswer() is that of the first who knows: ${names.join(", ")}`, async () => {
    assert.equal(await ask(...names), known);
  });
}

test("firstAnswer() waits for nothing where everyone answers at once", () => {
  assert.equal(
    firstAnswer(["passes", "knows"], (name) => (ways[name] as Way)()),
    known,
  );
});

test("firstAnswer() is undefined when nobody is concerned", async () => {
  assert.equal(await ask("passes", "passes later"), undefined);
});

for (const [names, text] of [
  [["refuses", "passes later"], "old"],
  [["refuses", "refuses later", "passes"], "[old, late]"],
] as const) {
  test(`firstAnswer() throws all refusals when nobody accepts: ${names.join(", ")}`, async () => {
    await assert.rejects(ask(...names), { name: "AuthenticationError", message: text });
  });
}

for (const way of [() => Promise.reject(new TypeError("a bug")), () => assert.fail("a bug")]) {
  test("firstAnswer() hands on what is no refusal, and asks nobody else", async () => {
    const asked: string[] = [];
    const all = async () =>
      firstAnswer(["bug", "next"], (name) => {
        asked.push(name);
        return way();
      });
    await assert.rejects(all, /a bug/);
    assert.deepEqual(asked, ["bug"]);
  });
}
