/** The agreement table (../test/agreement): what upstream's documented rules say, case by case. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { parse } from "yaml";
import { type AgreementCase, nodeOf, objectsOf, podOf } from "../test/lib/agreement-case.ts";
import { TestCluster } from "../test/lib/test-cluster.ts";
import type { CycleResult, PluginScores } from "./core/cycle.ts";
import { renderFitError } from "./core/fit-error.ts";

const FOLDER = new URL("../test/agreement/", import.meta.url);
const MIN_CASES = 200;

function judge(given: AgreementCase): CycleResult {
  const cluster = new TestCluster({
    nodes: Object.entries(given.nodes).map(([name, node]) => nodeOf(name, node)),
    pods: (given.pods ?? []).map((pod, i) => podOf(`p${i}`, pod)),
    objects: objectsOf(given),
    profile: given.profile,
  });
  return cluster.judge(podOf("p", given.pod));
}

/** Every node that some throw of the dice would choose. */
function bestNodes(feasible: readonly string[], scores: readonly PluginScores[]): string[] {
  const totals = feasible.map((_, i) => scores.reduce((sum, s) => sum + s.weight * (s.normalized[i] ?? 0), 0));
  return feasible.filter((_, i) => totals[i] === Math.max(...totals)).sort();
}

function check(given: AgreementCase): void {
  const result = judge(given);
  assert.notEqual(result.kind, "error", JSON.stringify(result));
  if (result.kind === "error") return;
  const feasible = result.kind === "placed" ? result.feasible.map(({ name }) => name) : [];
  const scores = result.kind === "placed" ? result.scores : [];
  if (given.evaluates !== undefined) assert.equal(feasible.length, given.evaluates);
  if (given.fits !== undefined) assert.deepEqual([...feasible].sort(), given.fits, "fits");
  const refusals = result.kind === "placed" ? result.refusals : result.diagnosis.refusals;
  for (const [node, reasons] of Object.entries(given.refused ?? {})) {
    assert.equal(refusals.get(node)?.reasons.join(", "), reasons, `refused ${node}`);
  }
  for (const [plugin, wanted] of Object.entries(given.scores ?? {})) {
    const found = scores.find((score) => score.plugin === plugin);
    // A plugin that would score all nodes alike may leave it.
    const values = Object.fromEntries(
      feasible.map((node, i) => [node, found?.normalized[i] ?? Object.values(wanted)[0]]),
    );
    assert.deepEqual(values, wanted, `scores of ${plugin}`);
  }
  for (const plugin of given.unscored ?? []) assert.ok(!scores.some((score) => score.plugin === plugin), plugin);
  if (given.chosen !== undefined) {
    assert.deepEqual(bestNodes(feasible, scores), given.chosen, "chosen");
    assert.ok(result.kind === "placed" && given.chosen.includes(result.nodeName));
  }
  if (result.kind === "placed") return;
  if (given.preFilter !== undefined) assert.equal(result.diagnosis.preFilterMessage, given.preFilter);
  if (given.message !== undefined) assert.equal(renderFitError(result.diagnosis), given.message);
  if (given.victims !== undefined) {
    const plan = result.postFilter?.plan;
    const victims = plan?.victims.map(({ pod }) => pod.metadata.name).sort();
    assert.deepEqual(plan && { [plan.nodeName]: victims }, given.victims, "victims");
  }
}

let total = 0;
for (const file of readdirSync(FOLDER).filter((name) => name.endsWith(".yaml"))) {
  const cases = parse(readFileSync(new URL(file, FOLDER), "utf8")) as AgreementCase[];
  total += cases.length;
  for (const given of cases)
    test(`the scheduler agrees with upstream in ${file.replace(".yaml", "")} on: ${given.name}`, () => check(given));
}
test(`the agreement table has at least ${MIN_CASES} cases`, () => assert.ok(total >= MIN_CASES, `only ${total}`));
