import assert from "node:assert/strict";
import test from "node:test";
import { parseCpuState, renderCpuState } from "./cpu-state.ts";

/** Files that upstream's kubelets wrote, from people's notes and upstream's own tests. */
const UPSTREAM = [
  '{"policyName":"none","defaultCpuSet":"4-6","checksum":354655845}',
  '{"policyName":"static","defaultCpuSet":"0,14-27","entries":{"c0c5c4b3-3f63-4677-ba68-52da74012371":{"app":"1-13"}},"checksum":1954249489}',
  '{"policyName":"static","defaultCpuSet":"0,13","entries":{"55784671-0e4e-49e2-b4d6-c0377ca14c81":{"app":"1-12"},"6c5f3038-adfc-485d-9943-3fd5e825300d":{"app":"14-27"}},"checksum":3558029577}',
];

for (const [index, text] of UPSTREAM.entries()) {
  test(`parseCpuState() reads upstream's file ${index + 1}, and renderCpuState() writes the same`, () => {
    assert.equal(renderCpuState(parseCpuState(text)), text);
  });
}

for (const [what, text] of [
  ["changed", (UPSTREAM[1] ?? "").replace("1-13", "1-12")],
  ["cut short", (UPSTREAM[1] ?? "").slice(0, 60)],
  ["null", "null"],
] as const) {
  test(`parseCpuState() throws when the text is ${what}`, () => {
    assert.throws(() => parseCpuState(text));
  });
}
