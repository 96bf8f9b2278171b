/** Runs h2load (Debian: nghttp2-client) against one server and reads what it found. */
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface H2loadJob {
  readonly base: string;
  readonly paths: readonly string[];
  readonly protocol: "http/1.1" | "http/2";
  readonly inFlight: number;
  readonly warmUpSeconds: number;
  readonly seconds: number;
  readonly token: string;
  /** POSTs this instead of getting. */
  readonly body?: string;
}

export interface H2loadResult {
  readonly perSecond: number;
  readonly bytesPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly failures: number;
}

/** Several streams on few connections, as clients of Kubernetes do over HTTP/2; HTTP/1.1 has one request per connection. */
const HTTP2_CONNECTIONS = 4;

/** `onMeasuring` is called when the warm-up is over. */
export async function runH2load(job: H2loadJob, onMeasuring: () => void): Promise<H2loadResult> {
  const dir = await mkdtemp(join(tmpdir(), "knarr-h2load-"));
  try {
    const [uris, log, body] = [join(dir, "uris"), join(dir, "log"), join(dir, "body")];
    await writeFile(uris, job.paths.map((path) => `${job.base}${path}\n`).join(""));
    if (job.body !== undefined) await writeFile(body, job.body);
    const connections = job.protocol === "http/1.1" ? job.inFlight : HTTP2_CONNECTIONS;
    const args = [
      ...(job.protocol === "http/1.1" ? ["--h1"] : []),
      ...[`--clients=${connections}`, `--max-concurrent-streams=${job.inFlight / connections}`, "--threads=1"],
      ...[`--duration=${job.seconds}`, `--warm-up-time=${job.warmUpSeconds}`, `--log-file=${log}`],
      ...["--window-bits=24", "--connection-window-bits=26"],
      ...["--header", `authorization: Bearer ${job.token}`],
      ...(job.body === undefined ? [] : [`--data=${body}`, "--header", "content-type: application/json"]),
      ...["--input-file", uris],
    ];
    const timer = setTimeout(onMeasuring, job.warmUpSeconds * 1000);
    const output = await run("h2load", args).finally(() => clearTimeout(timer));
    return { ...parseOutput(output), ...quantiles(await readFile(log, "utf8")) };
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

function run(command: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
    const output: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => output.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => output.push(chunk));
    child.once("error", reject);
    child.once("exit", (code) => {
      const text = Buffer.concat(output).toString();
      if (code === 0) resolve(text);
      else reject(new Error(`${command} ended with ${code}: ${text.slice(-400)}`));
    });
  });
}

const UNITS: Readonly<Record<string, number>> = { B: 1, KB: 2 ** 10, MB: 2 ** 20, GB: 2 ** 30 };

/** "finished in 5.00s, 8012.40 req/s, 26.10MB/s" and "status codes: 40062 2xx, 0 3xx, 0 4xx, 0 5xx". */
function parseOutput(text: string): Omit<H2loadResult, "p50Ms" | "p99Ms"> {
  const summary = /finished in .*?, ([\d.]+) req\/s, ([\d.]+)([KMG]?B)\/s/.exec(text);
  const codes = /status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx/.exec(text);
  const errored = /(\d+) failed, (\d+) errored/.exec(text);
  if (summary === null || codes === null) throw new Error(`h2load said something unexpected: ${text.slice(0, 600)}`);
  const [, rate, amount, unit = "B"] = summary;
  return {
    perSecond: Number(rate),
    bytesPerSecond: Number(amount) * (UNITS[unit] ?? 1),
    failures: Number(codes[2]) + Number(codes[3]) + Number(codes[4]) + Number(errored?.[2] ?? 0),
  };
}

/** Lines of start time in us, status and duration in us. */
function quantiles(log: string): { p50Ms: number; p99Ms: number } {
  const durations = log
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => Number(line.split("\t")[2]))
    .sort((a, b) => a - b);
  const at = (q: number) => (durations[Math.floor(q * (durations.length - 1))] ?? 0) / 1000;
  return { p50Ms: at(0.5), p99Ms: at(0.99) };
}
