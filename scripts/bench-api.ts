/**
 * `npm run bench:api`: how fast the API server reads, writes and tells of changes, and what it costs, against yardsticks of the same run.
 * Needs etcd and h2load (Debian: nghttp2-client), no root. What is measured and how: docs/benchmarks/api.md.
 */
import { writeFile } from "node:fs/promises";
import { loadavg } from "node:os";
import { parseArgs } from "node:util";
import { startApiBench } from "./bench/api/environment.ts";
import { renderApiReport } from "./bench/api/render-api-report.ts";
import { runApiBench } from "./bench/api/run-api-bench.ts";

const USAGE = `usage: npm run bench:api [-- --pods N --watchers N --only PART,... --json FILE]
  --pods N       pods to read and list (default 5000)
  --watchers N   watchers of the fan-out (default 1000)
  --only PARTS   some of get,list,write,watch,idle,ready (default all)
  --json FILE    also write the figures there
`;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      pods: { type: "string", default: "5000" },
      watchers: { type: "string", default: "1000" },
      only: { type: "string", default: "" },
      json: { type: "string" },
      help: { type: "boolean" },
    },
  });
  if (values.help === true) {
    process.stdout.write(USAGE);
    return;
  }
  const aborter = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const) {
    process.on(name, () => aborter.abort(new Error(`ended by ${name}`)));
  }
  const startedMs = performance.now();
  const say = (text: string) =>
    void process.stderr.write(`${((performance.now() - startedMs) / 1000).toFixed(1).padStart(6)} s  ${text}\n`);
  say(`load average ${loadavg()[0]?.toFixed(2)}`);
  const bench = await startApiBench();
  try {
    const result = await runApiBench(bench, {
      pods: Number(values.pods),
      watchers: Number(values.watchers),
      only: new Set(values.only.split(",").filter((part) => part !== "")),
      signal: aborter.signal,
      say,
    });
    process.stdout.write(`\n${renderApiReport(result)}`);
    if (values.json !== undefined) await writeFile(values.json, `${JSON.stringify(result, undefined, 2)}\n`);
  } finally {
    await bench.stop();
  }
}

try {
  await main();
} catch (error) {
  process.stderr.write(`bench:api: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
