import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { WakeRounds } from "./wake-rounds.ts";

function rounds(perTurn: number) {
  const turns: (() => void)[] = [];
  const made = new WakeRounds({ perTurn, soon: (turn) => void turns.push(turn) });
  return { made, turns, turn: () => turns.shift()?.() };
}

describe("WakeRounds", () => {
  it("add() wakes nobody in the same turn, and at most so many in each of the next ones, in order", () => {
    const { made, turns, turn } = rounds(2);
    const woken: number[] = [];
    for (const index of [1, 2, 3, 4, 5]) made.add(() => void woken.push(index));
    assert.deepEqual(woken, []);
    turn();
    assert.deepEqual(woken, [1, 2]);
    turn();
    turn();
    assert.deepEqual(woken, [1, 2, 3, 4, 5]);
    assert.equal(turns.length, 0, "nothing more is scheduled once everybody is awake");
  });

  it("add() while a round goes on waits for the next one", () => {
    const { made, turns, turn } = rounds(2);
    const woken: string[] = [];
    made.add(() => {
      woken.push("a");
      made.add(() => void woken.push("a again"));
    });
    for (const name of ["b", "c"]) made.add(() => void woken.push(name));
    turn();
    turn();
    assert.deepEqual(woken, ["a", "b", "c"]);
    while (turns.length > 0) turn();
    assert.deepEqual(woken, ["a", "b", "c", "a again"]);
  });
});
