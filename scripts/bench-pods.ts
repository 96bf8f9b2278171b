/**
 * `npm run bench:pods`: from creating a pod until it is Ready, and what the kubelet costs; real etcd, API server, scheduler
 * and containerd in namespaces of their own. What is measured and how: docs/benchmarks/pods.md.
 */
import { execFileSync } from "node:child_process";
import { loadavg } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { type FootprintFigures, measureFootprint } from "./bench/pods/footprint.ts";
import { type LatencyFigures, measureLatency, quantile, type Split } from "./bench/pods/latency.ts";
import { renderColumns } from "./bench/render-report.ts";

const USAGE = `usage: npm run bench:pods [-- --part latency|footprint|all --single N --at-once N --pods N --idle SECONDS]
  --single   pods one at a time (default 50)
  --at-once  pods at once (default 30)
  --pods     most pods on the node for the footprint (default 100)
  --idle     how long an idle kubelet is watched (default 30)
`;
const INSIDE = "KNARR_BENCH_INSIDE";
const ms = (value: number) => value.toFixed(0);

function renderLatency({ single, atOnce, bare }: LatencyFigures): string {
  const parts: [string, (split: Split) => number][] = [
    ["create to Ready", (s) => s.total],
    ["  API", (s) => s.api],
    ["  scheduling", (s) => s.scheduling],
    ["  sandbox with its network", (s) => s.sandbox],
    ["  container create and start", (s) => s.container],
    ["  kubelet, all but runtime calls", (s) => s.kubelet],
    ["  status", (s) => s.status],
  ];
  const rows = parts.map(([name, pick]) => {
    const values = single.map(pick);
    return [name, ms(quantile(values, 0.5)), ms(quantile(values, 0.99))];
  });
  rows.push([`${atOnce.length} at once, create to Ready`, ms(quantile(atOnce, 0.5)), ms(quantile(atOnce, 0.99))]);
  rows.push(["runtime by hand: sandbox and container", ms(quantile(bare, 0.5)), ms(quantile(bare, 0.99))]);
  return renderColumns([[`${single.length} pods one at a time`, "p50 ms", "p99 ms"], ...rows]);
}

function renderFootprint({ idle, filled, churn }: FootprintFigures): string {
  const percent = (share: number) => `${(share * 100).toFixed(1)} %`;
  const rows = idle.map((f) => [`${f.pods} pods, idle`, percent(f.idleShare), f.residentMiB.toFixed(0)]);
  rows.push([`churn, ${churn.perSecond.toFixed(2)} pods/s`, percent(churn.share), churn.residentMiB.toFixed(0)]);
  const table = renderColumns([["kubelet", "of a core", "MiB resident"], ...rows]);
  return `${table}  the last ${filled.pods} pods at once were all Ready after ${filled.seconds.toFixed(1)} s\n`;
}

function runInside(argv: readonly string[]): void {
  const script = fileURLToPath(import.meta.url);
  const prepare = 'ip link set lo up; mount --make-rshared /; mount -t tmpfs tmpfs /run; exec "$@"';
  const unshare = [
    "--net",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
    "--",
    "sh",
    "-ec",
    prepare,
    "sh",
  ];
  execFileSync("unshare", [...unshare, process.execPath, script, ...argv], {
    stdio: "inherit",
    env: { ...process.env, [INSIDE]: "1" },
  });
}

async function main(): Promise<void> {
  const argv = process.argv.slice(2);
  const { values } = parseArgs({
    args: argv,
    options: {
      part: { type: "string", default: "all" },
      single: { type: "string", default: "50" },
      "at-once": { type: "string", default: "30" },
      pods: { type: "string", default: "100" },
      idle: { type: "string", default: "30" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help || !["latency", "footprint", "all"].includes(values.part)) {
    process.stderr.write(USAGE);
    process.exitCode = values.help ? 0 : 2;
    return;
  }
  if (process.env[INSIDE] === undefined) return runInside(argv);
  process.stdout.write(
    `load average before: ${loadavg()
      .map((l) => l.toFixed(1))
      .join(" ")}\n`,
  );
  if (values.part !== "footprint") {
    process.stdout.write(renderLatency(await measureLatency(Number(values.single), Number(values["at-once"]))));
  }
  if (values.part !== "latency") {
    const most = Number(values.pods);
    const steps = [...new Set([0, Math.min(30, most), most])];
    process.stdout.write(renderFootprint(await measureFootprint(steps, Number(values.idle) * 1000)));
  }
}

await main();
