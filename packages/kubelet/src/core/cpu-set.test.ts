import assert from "node:assert/strict";
import test from "node:test";
import { formatCpuSet, parseCpuSet } from "./cpu-set.ts";

for (const [text, cpus] of [
  ["", []],
  ["0", [0]],
  ["0-3,8", [0, 1, 2, 3, 8]],
  ["5,7-8", [5, 7, 8]],
] as const) {
  test(`parseCpuSet() and formatCpuSet() agree on ${JSON.stringify(text)}`, () => {
    assert.deepEqual(parseCpuSet(text), cpus);
    assert.equal(formatCpuSet(cpus), text);
  });
}

test("parseCpuSet() sorts, and counts each once", () => {
  assert.deepEqual(parseCpuSet("4,0-2,1-3"), [0, 1, 2, 3, 4]);
});

for (const text of ["a", "1-", "3-1", "-1", "1,,2", "1-2-3", "0-99999999999"]) {
  test(`parseCpuSet() throws on ${JSON.stringify(text)}`, () => {
    assert.throws(() => parseCpuSet(text), /is no set of CPUs/);
  });
}
