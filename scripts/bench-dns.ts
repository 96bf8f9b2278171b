/**
 * `npm run bench:dns`: answers per second and their latency of cluster-dns on one core, beside dnsmasq and unbound with
 * the same records in the same run, asked by dnsperf. What is measured and how: docs/benchmarks/dns.md.
 */
import { execFileSync } from "node:child_process";
import { Resolver } from "node:dns/promises";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { nameOf, type Peer, peers, type RunningPeer, startPeer } from "./bench/dns/peers.ts";
import { processSeconds } from "./bench/processor-time.ts";

const USAGE = `usage: npm run bench:dns [-- --services N --seconds N --rate N --peers PEER,...]
  --services N   whose names are asked for (default 1000)
  --seconds N    each of the two loads lasts (default 8)
  --rate N       questions per second of the second load, for latency (default 30000)
  --peers PEERS  of ${peers.join(", ")} (default all)
`;
const SERVER_CORE = 1;

interface Load {
  readonly perSecond: number;
  readonly lostPercent: number;
  readonly p99Ms: number;
}

/** With a rate each answer is printed with its time ("> NOERROR name A 0.000123"), which costs dnsperf a little. */
function dnsperf(port: number, questions: string, seconds: number, rate?: number): Load {
  const args = ["-c", "0", "dnsperf", "-s", "127.0.0.1", "-p", String(port), "-d", questions, "-l", String(seconds)];
  args.push("-c", "8", "-q", "100", "-t", "2", ...(rate === undefined ? [] : ["-Q", String(rate), "-v"]));
  const text = execFileSync("taskset", args, {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
    maxBuffer: 2 ** 30,
  });
  const number = (pattern: RegExp) => Number(pattern.exec(text)?.[1] ?? Number.NaN);
  const latencies = [...text.matchAll(/^> \S+ \S+ \S+ ([\d.]+)$/gm)].map((match) => Number(match[1]));
  latencies.sort((a, b) => a - b);
  return {
    perSecond: number(/Queries per second:\s+([\d.]+)/),
    lostPercent: number(/Queries lost:\s+\d+ \(([\d.]+)%\)/),
    p99Ms: (latencies[Math.floor(0.99 * (latencies.length - 1))] ?? Number.NaN) * 1000,
  };
}

/** Until the last name is answered: then the records are all there. */
async function waitFor(peer: RunningPeer, name: string): Promise<void> {
  const resolver = new Resolver({ timeout: 500, tries: 1 });
  resolver.setServers([`127.0.0.1:${peer.port}`]);
  for (let i = 0; i < 100; i++) {
    const answer = await resolver.resolve4(name).catch(() => undefined); // Not up yet.
    if (answer !== undefined) return;
    await sleep(200);
  }
  throw new Error(`nobody answers on port ${peer.port}`);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      services: { type: "string", default: "1000" },
      seconds: { type: "string", default: "8" },
      rate: { type: "string", default: "30000" },
      peers: { type: "string", default: peers.join(",") },
      help: { type: "boolean" },
    },
  });
  if (values.help === true) return void process.stdout.write(USAGE);
  const services = Number(values.services);
  const folder = mkdtempSync(join(tmpdir(), "bench-dns-"));
  const questions = join(folder, "questions");
  // A known name, and one that does not exist for every tenth.
  const lines = Array.from({ length: services }, (_, i) => (i % 10 === 9 ? `no-${nameOf(i)} A` : `${nameOf(i)} A`));
  writeFileSync(questions, `${lines.join("\n")}\n`);
  const rows: string[] = [];
  const say = (text: string) => void process.stderr.write(`${text}\n`);
  say(`load average ${loadavg()[0]?.toFixed(2)}`);
  try {
    for (const name of values.peers.split(",") as Peer[]) {
      const peer = await startPeer(name, { folder, services, core: SERVER_CORE });
      try {
        await waitFor(peer, nameOf(services - 2));
        dnsperf(peer.port, questions, 2);
        const cpuBefore = await processSeconds(peer.pid);
        const most = dnsperf(peer.port, questions, Number(values.seconds));
        const cpu = (await processSeconds(peer.pid)) - cpuBefore;
        const perCore = (most.perSecond * Number(values.seconds)) / cpu;
        const paced = dnsperf(peer.port, questions, Number(values.seconds), Number(values.rate));
        rows.push(
          `| ${name} | ${most.perSecond.toFixed(0)}/s, lost ${most.lostPercent} % | ${perCore.toFixed(0)} | ` +
            `${paced.perSecond.toFixed(0)}/s, lost ${paced.lostPercent} %, p99 ${paced.p99Ms.toFixed(2)} ms |`,
        );
        say(rows.at(-1) ?? "");
      } finally {
        await peer.stop();
      }
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
  const head = `| server | as fast as it can | answers per second of processor time | at ${values.rate}/s |`;
  process.stdout.write(`${[head, "| --- | --- | --- | --- |", ...rows].join("\n")}\n`);
}

try {
  await main();
} catch (error) {
  process.stderr.write(`bench-dns: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
