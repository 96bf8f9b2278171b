/** A short fuzz run with a fixed seed; `npm run fuzz` goes on for longer. What was tried and found: docs/fuzzing.md. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { fuzzServer } from "./fuzz/fuzz-server.ts";

const SEED = 20260;
/** A number, not a time: a fixed seed must mean the same shots on every machine. */
const SHOTS = 12_000;
/** Far above what a run of any length needs; a leak or a bomb goes beyond it. */
const MAX_MEMORY_MIB = 1_200;

test("the API server answers every hostile request with a client error", async () => {
  const report = await fuzzServer({ seed: SEED, shots: SHOTS });
  const found = report.findings.map(({ index, what, shot }) => `#${index} ${shot.method} ${shot.path}: ${what}`);
  assert.deepEqual(found, [], `npm run fuzz -- --seed ${SEED} brings them back`);
  assert.deepEqual(report.loggedErrors, []);
  assert.ok(report.survived, "the API server ended");
  assert.ok(report.peakMiB < MAX_MEMORY_MIB, `memory grew to ${report.peakMiB} MiB`);
  assert.ok(report.bystanderMs.length > 20, "the bystander was kept out");
});
