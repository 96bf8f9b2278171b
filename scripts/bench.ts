/**
 * `npm run bench`: how fast a cluster comes up, serves its API and runs the web example, and what it costs, against
 * yardsticks of the same run. Needs root, as `knarr up` does. What is measured and how: docs/benchmarks.md.
 *
 * Uses a cluster of its own below /var/lib/knarr-bench, removed at the end in any case; writes nothing but --json's file.
 */
import { writeFile } from "node:fs/promises";
import { loadavg } from "node:os";
import { parseArgs } from "node:util";
import { renderReport } from "./bench/render-report.ts";
import { type BenchResult, medianOf } from "./bench/result.ts";
import { runOnce } from "./bench/run-once.ts";

const USAGE = `usage: npm run bench [-- --runs N --json FILE]
  --runs N     so many runs, each with a fresh cluster; prints each and the medians (default 1)
  --json FILE  also write the figures of every run there
`;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { runs: { type: "string", default: "1" }, json: { type: "string" }, help: { type: "boolean" } },
  });
  if (values.help === true) {
    process.stdout.write(USAGE);
    return;
  }
  const runs = Number(values.runs);
  if (!(Number.isInteger(runs) && runs >= 1)) throw new TypeError("--runs must be a whole number of 1 or more");
  const aborter = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const) {
    process.on(name, () => aborter.abort(new Error(`ended by ${name}`)));
  }
  const startedMs = performance.now();
  const say = (text: string) =>
    void process.stderr.write(`${((performance.now() - startedMs) / 1000).toFixed(1).padStart(6)} s  ${text}\n`);
  const results: BenchResult[] = [];
  for (let run = 1; run <= runs; run++) {
    say(`run ${run} of ${runs}; load average ${loadavg()[0]?.toFixed(2)}`);
    const result = await runOnce(aborter.signal, say);
    results.push(result);
    process.stdout.write(`\n${runs > 1 ? `Run ${run} of ${runs}\n\n` : ""}${renderReport(result)}\n`);
  }
  if (runs > 1) process.stdout.write(`\nMedians of ${runs} runs\n\n${renderReport(medianOf(results))}`);
  if (values.json !== undefined) await writeFile(values.json, `${JSON.stringify({ runs: results }, undefined, 2)}\n`);
}

try {
  await main();
} catch (error) {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
