/**
 * `npm run bench:scheduler`: how fast the scheduler decides, alone and against a real API server, in the manner of
 * upstream's scheduler_perf; every figure beside a yardstick of the same run. What is measured and how:
 * docs/benchmarks/scheduler.md.
 */
import { createHash } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { loadavg } from "node:os";
import { parseArgs } from "node:util";
import { type CycleFigures, measureCycles } from "./bench/scheduler/cycle-alone.ts";
import { measurePath, type PathFigures } from "./bench/scheduler/whole-path.ts";
import { WORKLOADS } from "./bench/scheduler/workloads.ts";

const USAGE = `usage: npm run bench:scheduler [-- --part cycle|path|all --workload NAME --nodes N --pods N --json FILE]
  --part      the cycle alone, the whole path against a real API server, or both (default all)
  --workload  only this one: ${WORKLOADS.map(({ name }) => name).join(", ")}
  --nodes     default 5000 for the cycle, 1000 for the path
  --pods      default 10000 for the cycle (500 with preemption, 4500 with anti-affinity), 5000 for the path
              (half as many as nodes with preemption, as many with anti-affinity)
  --json      also write the figures there
`;

/** How often this thread hashes a kibibyte in a second: tells machines and their load apart. */
function hashesPerSecond(): number {
  const data = Buffer.alloc(1024, 7);
  const untilMs = performance.now() + 500;
  let count = 0;
  for (; performance.now() < untilMs; count++) createHash("sha256").update(data).digest();
  return count * 2;
}

function renderCycles(figures: readonly CycleFigures[]): string {
  const lines = ["The cycle alone: a pod judged and assumed, no API\n"];
  for (const f of figures) {
    const plugins = f.plugins
      .slice(0, 6)
      .map(({ name, p50Us, p99Us }) => `${name} ${p50Us.toFixed(0)}/${p99Us.toFixed(0)}`);
    lines.push(
      `  ${f.workload.padEnd(18)} ${f.nodes} nodes, ${f.pods} pods: ${f.perSecond.toFixed(0)} pods/s ` +
        `(${f.perCpuSecond.toFixed(0)} per second of processor time), cycle p50 ${f.p50Us.toFixed(0)} us, ` +
        `p99 ${f.p99Us.toFixed(0)} us${f.unplaced === 0 ? "" : `, ${f.unplaced} not placed`}`,
      `  ${"".padEnd(18)} plugins p50/p99 in us: ${plugins.join(", ")}`,
    );
  }
  return `${lines.join("\n")}\n`;
}

function renderPaths(figures: readonly PathFigures[]): string {
  const lines = ["The whole path: real etcd, real API server, simulated nodes\n"];
  for (const f of figures) {
    lines.push(
      `  ${f.workload.padEnd(18)} ${f.nodes} nodes, ${f.pods} pods: ${f.perSecond.toFixed(0)} pods/s ` +
        `(bindings posted without a scheduler: ${f.bareBindingsPerSecond.toFixed(0)}/s), scheduler ` +
        `${f.schedulerCpuMsPerPod.toFixed(2)} ms CPU per pod, ${f.residentMiB.toFixed(0)} MiB, peak ${f.peakMiB.toFixed(0)} MiB`,
    );
  }
  return `${lines.join("\n")}\n`;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      part: { type: "string", default: "all" },
      workload: { type: "string" },
      nodes: { type: "string" },
      pods: { type: "string" },
      json: { type: "string" },
      help: { type: "boolean" },
    },
  });
  if (values.help === true) return void process.stdout.write(USAGE);
  const aborter = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const) {
    process.on(name, () => aborter.abort(new Error(`ended by ${name}`)));
  }
  const chosen = WORKLOADS.filter(({ name }) => values.workload === undefined || name === values.workload);
  if (chosen.length === 0) throw new TypeError(`no workload ${values.workload}\n${USAGE}`);
  const number = (text: string | undefined, otherwise: number) => (text === undefined ? otherwise : Number(text));
  const yardstick = hashesPerSecond();
  process.stdout.write(
    `Yardstick: ${yardstick} SHA-256 of 1 KiB a second on this thread; load average ${loadavg()[0]?.toFixed(2)}\n\n`,
  );
  const cycles: CycleFigures[] = [];
  const paths: PathFigures[] = [];
  if (values.part !== "path") {
    for (const workload of chosen) {
      const usual = { preemption: 500, "pod anti-affinity": 4500 }[workload.name] ?? 10_000;
      cycles.push(measureCycles(workload, number(values.nodes, 5000), number(values.pods, usual)));
    }
    process.stdout.write(`${renderCycles(cycles)}\n`);
  }
  if (values.part !== "cycle") {
    const say = (text: string) => void process.stderr.write(`  ${text}\n`);
    for (const workload of chosen) {
      const nodes = number(values.nodes, 1000);
      const usual = { preemption: nodes / 2, "pod anti-affinity": nodes }[workload.name] ?? 5000;
      paths.push(await measurePath(workload, nodes, number(values.pods, usual), { signal: aborter.signal, say }));
    }
    process.stdout.write(renderPaths(paths));
  }
  if (values.json !== undefined)
    await writeFile(values.json, `${JSON.stringify({ yardstick, cycles, paths }, undefined, 2)}\n`);
}

try {
  await main();
} catch (error) {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
