import assert from "node:assert/strict";
import { constants } from "node:os";
import test from "node:test";
import { signalNumber } from "./signal-number.ts";

for (const [name, number] of Object.entries(constants.signals)) {
  // Not in the API.
  if (name === "SIGINFO" || name === "SIGUNUSED") continue;
  test(`signalNumber() knows ${name} as the system does`, () => assert.equal(signalNumber(name), number));
}

const others: [string, number | undefined][] = [
  ["SIGRTMIN", 34],
  ["SIGRTMINPLUS1", 35],
  ["SIGRTMAXMINUS14", 50],
  ["SIGRTMAX", 64],
  ["SIGRTMINPLUS99", undefined],
  ["SIGCLD", 17],
  ["SIGNONE", undefined],
  ["", undefined],
];
for (const [name, want] of others) {
  test(`signalNumber() answers ${want} to ${JSON.stringify(name)}`, () => assert.equal(signalNumber(name), want));
}
