/**
 * `npm run bench:proxy`: what kube-proxy costs with 1,000 and 10,000 Services in each of its modes, beside yardsticks of
 * the same run. Needs root; works in network namespaces of its own. What is measured and how: docs/benchmarks/proxy.md.
 */
import { execFileSync, spawn } from "node:child_process";
import { loadavg } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { type BenchMode, connections, daemon, leadToPod, load, modes, quantile } from "./bench/proxy/parts.ts";

const USAGE = `usage: npm run bench:proxy [-- --services N,... --modes MODE,... --changes N --all]
  --services N,...  sizes (default 1000,10000)
  --modes MODE,...  of ${modes.join(", ")} (default all)
  --changes N       single changes per size and mode (default 50)
  --all             also iptables-nft beyond 1,000 Services, which takes minutes
`;
const POD = "10.200.0.2";

interface Row {
  readonly mode: BenchMode;
  readonly services: number;
  readonly text: string;
}

async function inside(part: string, mode: BenchMode, services: number, changes: number): Promise<void> {
  const ms = (value: number) => `${value.toFixed(value < 10 ? 1 : 0)} ms`;
  const p = (values: readonly number[]) => `${ms(quantile(values, 0.5))} / ${ms(quantile(values, 0.99))}`;
  execFileSync("ip", ["link", "set", "lo", "up"]);
  if (part === "daemon") {
    const figures = await daemon(services, changes);
    const megabytes = (figures.residentBytes / 2 ** 20).toFixed(0);
    process.stdout.write(`${p(figures.eventToKernelMs)} | ${megabytes} MB | ${ms(figures.startMs)}\n`);
    return;
  }
  const figures = await load(mode, services, changes);
  const text = `${ms(figures.fullMs)} (own processor time ${ms(figures.fullCpuMs)}) | ${p(figures.changesMs)}`;
  for (const line of [
    "netns add pod",
    "link add pod0 type veth peer name eth0 netns pod",
    "addr add 10.200.0.1/24 dev pod0",
    "link set pod0 up",
    "-n pod link set lo up",
    "-n pod link set eth0 up",
    `-n pod addr add ${POD}/24 dev eth0`,
    "-n pod route add default via 10.200.0.1",
    "route add default via 10.200.0.2",
  ]) {
    execFileSync("ip", line.split(" "));
  }
  const script =
    "require('node:net').createServer((s)=>s.on('error',()=>{}).resume()).listen(8080,()=>console.log('up'))";
  const server = spawn("ip", ["netns", "exec", "pod", process.execPath, "-e", script]);
  try {
    await new Promise((resolve) => server.stdout.once("data", resolve));
    const serviceIp = await leadToPod(mode, services, POD);
    await connections(POD, 8080, 500); // Warm-up.
    const direct = await connections(POD, 8080, 3000);
    const through = await connections(serviceIp, 80, 3000);
    const show = (c: typeof direct) => `${c.perSecond.toFixed(0)}/s, p99 ${ms(c.p99Ms)}`;
    process.stdout.write(`${text} | ${figures.rules} | ${show(through)} | ${show(direct)}\n`);
  } finally {
    server.kill();
  }
}

/** Each measurement in a process and network namespace of its own. */
function isolated(args: readonly string[]): string {
  const script = fileURLToPath(import.meta.url);
  const unshare = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--", "sh", "-ec"];
  const command = 'mount -t tmpfs tmpfs /run; exec "$0" "$@"';
  const all = [...unshare, command, process.execPath, script, ...args];
  return execFileSync("unshare", all, { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] }).trim();
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      services: { type: "string", default: "1000,10000" },
      modes: { type: "string", default: modes.join(",") },
      changes: { type: "string", default: "50" },
      all: { type: "boolean", default: false },
      inside: { type: "string" },
      help: { type: "boolean" },
    },
  });
  if (values.help === true) return void process.stdout.write(USAGE);
  const changes = Number(values.changes);
  const [mode] = values.modes.split(",") as BenchMode[];
  if (values.inside !== undefined) return inside(values.inside, mode ?? "nftables", Number(values.services), changes);
  const say = (text: string) => void process.stderr.write(`${text}\n`);
  say(`load average ${loadavg()[0]?.toFixed(2)}`);
  const rows: Row[] = [];
  const daemons: string[] = [];
  for (const services of values.services.split(",").map(Number)) {
    for (const each of values.modes.split(",") as BenchMode[]) {
      if (each === "iptables-nft" && services > 1000 && !values.all) continue;
      const few = each === "iptables-nft" ? "10" : values.changes;
      const args = ["--inside=load", `--modes=${each}`, `--services=${services}`, `--changes=${few}`];
      const text = isolated(args);
      say(`${each} ${services}: ${text}`);
      rows.push({ mode: each, services, text });
    }
    const text = isolated(["--inside=daemon", `--services=${services}`, `--changes=${changes}`]);
    say(`daemon ${services}: ${text}`);
    daemons.push(`| ${services} | ${text} |`);
  }
  const out = [
    "| mode | Services | full load | one change p50 / p99 | rules | connections through a Service | direct |",
    "| --- | --- | --- | --- | --- | --- | --- |",
    ...rows.map((row) => `| ${row.mode} | ${row.services} | ${row.text} |`),
    "",
    "| Services | event to kernel p50 / p99 (daemon, nftables) | resident | from start to rules |",
    "| --- | --- | --- | --- |",
    ...daemons,
  ];
  process.stdout.write(`${out.join("\n")}\n`);
}

try {
  await main();
} catch (error) {
  process.stderr.write(`bench-proxy: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
