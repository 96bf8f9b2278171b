/** One run of the API benchmark: every measurement in order, each beside its yardstick. What is measured: docs/benchmarks/api.md. */
import { type ChildProcess, fork } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { core } from "@knarr/api/generated/resources.ts";
import { benchPod } from "../bench-pod.ts";
import { HttpConnection, type HttpTarget, renderRequest } from "../http-connection.ts";
import { COUNT_MARK, type LoadJob, NAME_MARK, VERSION_MARK } from "../job.ts";
import { processSeconds, watchCores } from "../processor-time.ts";
import { runLoad } from "../run-load.ts";
import type { BarePorts, BareServersJob } from "./bare-servers.ts";
import {
  type ApiBench,
  podName,
  podsPath,
  READ_NAMESPACE,
  type Seeded,
  seedPods,
  WRITE_NAMESPACE,
} from "./environment.ts";
import { type H2loadJob, runH2load } from "./h2load.ts";
import type { ApiBenchResult, ReadFigures, WriteFigures } from "./result.ts";
import type { WatchJob, WatchMessage, WatchStep } from "./watch-job.ts";

const IN_FLIGHT = 32;
const LIST_IN_FLIGHT = 4;
const WARM_UP_SECONDS = 2;
const SECONDS = 5;
const IDLE_MS = 30_000;
/** Until what the watches began with (every pod, to each of them) has been sent, and collected behind it. */
const SETTLED_MS = 40_000;
const IDLE_WATCHERS = 100;
const RATES = [25, 50, 75, 100, 150];
const STEP_MS = 4_000;

export interface RunOptions {
  readonly pods: number;
  readonly watchers: number;
  /** Names of the parts to run; empty for all. */
  readonly only: ReadonlySet<string>;
  readonly signal: AbortSignal;
  readonly say: (text: string) => void;
}

export async function runApiBench(bench: ApiBench, options: RunOptions): Promise<ApiBenchResult> {
  const { say } = options;
  const wants = (part: string) => options.only.size === 0 || options.only.has(part);
  const atStart = await residentBytes(bench);
  say(`making ${options.pods} pods`);
  const seeded = await seedPods(bench, options.pods);
  const afterPods = await residentBytes(bench);
  const reads: ReadFigures[] = [];
  const paths = Array.from(
    { length: Math.min(500, options.pods) },
    (_, i) => `${podsPath(READ_NAMESPACE)}/${podName(i)}`,
  );
  if (wants("get")) reads.push(...(await measureReads("get", paths, IN_FLIGHT, bench, options)));
  if (wants("list")) {
    reads.push(...(await measureReads("list", [podsPath(READ_NAMESPACE)], LIST_IN_FLIGHT, bench, options)));
  }
  const afterReads = await residentBytes(bench);
  const writes = wants("write") ? await measureWrites(bench, seeded, options) : [];
  const afterWrites = await residentBytes(bench);
  const watch = wants("watch") ? await measureWatch(bench, options) : [];
  const afterWatch = await residentBytes(bench);
  const idleCores = wants("idle") ? await measureIdle(bench) : 0;
  const readySeconds = wants("ready") ? await measureReady(bench) : 0;
  const memory = { atStart, afterPods, afterReads, afterWrites, afterWatch, afterRestart: await residentBytes(bench) };
  return { pods: options.pods, podBytes: seeded.pod.length, reads, writes, watch, memory, idleCores, readySeconds };
}

async function residentBytes({ api }: ApiBench): Promise<number> {
  const status = await readFile(`/proc/${api.pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0) * 1024;
}

/** The greatest resident size seen while `use` runs. */
async function peakBytes<T>(bench: ApiBench, use: () => Promise<T>): Promise<{ value: T; peak: number }> {
  let peak = 0;
  const look = async () => {
    peak = Math.max(peak, await residentBytes(bench));
  };
  const timer = setInterval(() => void look(), 50);
  try {
    return { value: await use(), peak };
  } finally {
    clearInterval(timer);
  }
}

/** The API server, then the bare servers with the same bytes, over HTTP/1.1 and over HTTP/2. */
async function measureReads(
  what: "get" | "list",
  paths: readonly string[],
  inFlight: number,
  bench: ApiBench,
  options: RunOptions,
): Promise<ReadFigures[]> {
  const body = await bench.client.request({ method: "GET", path: paths[0] ?? "" });
  return await withBareServers(bench, body.body, options, async (bare, ports) => {
    const figures: ReadFigures[] = [];
    for (const protocol of ["http/1.1", "http/2"] as const) {
      const load = async (base: string, pid: number, target: readonly string[]) => {
        const job: H2loadJob = {
          ...{ base, paths: target, protocol, inFlight, token: bench.token },
          ...{ warmUpSeconds: WARM_UP_SECONDS, seconds: SECONDS },
        };
        let before = 0;
        const begun = async () => {
          before = await processSeconds(pid);
        };
        const result = await runH2load(job, () => void begun());
        return { ...result, serverCores: ((await processSeconds(pid)) - before) / SECONDS };
      };
      const { value: api, peak } = await peakBytes(bench, () => load(bench.api.server, bench.api.pid, paths));
      const port = protocol === "http/1.1" ? ports.http1 : ports.http2;
      const yardstick = await load(`https://127.0.0.1:${port}`, bare.pid ?? 0, ["/"]);
      options.say(`${what} over ${protocol}: ${rate(api)} against ${rate(yardstick)}`);
      figures.push({ what, protocol, inFlight, api, bare: yardstick, peakBytes: peak });
    }
    return figures;
  });
}

const rate = (load: { perSecond: number; bytesPerSecond: number }) =>
  `${load.perSecond.toFixed(0)}/s, ${(load.bytesPerSecond / 2 ** 20).toFixed(0)} MiB/s`;

async function withBareServers<T>(
  bench: ApiBench,
  body: Buffer,
  { signal }: RunOptions,
  use: (server: ChildProcess, ports: BarePorts) => Promise<T>,
): Promise<T> {
  const bodyFile = join(bench.api.dir, "body");
  await writeFile(bodyFile, body);
  const [cert, key, ca] = await Promise.all(
    ["apiserver.crt", "apiserver.key", "ca.crt"].map((name) => readFile(bench.api.pki.path(name), "utf8")),
  );
  const job: BareServersJob = { cert: cert ?? "", key: key ?? "", ca: ca ?? "", bodyFile };
  return await withChild("bare-servers.ts", job, signal, async (child, next) =>
    use(child, (await next()) as BarePorts),
  );
}

/** Forks a module of this folder, sends it `job`, and disconnects it when `use` is done. `next` waits for its next message. */
async function withChild<T>(
  module: string,
  job: object,
  signal: AbortSignal,
  use: (child: ChildProcess, next: () => Promise<unknown>) => Promise<T>,
): Promise<T> {
  const execArgv = ["--disable-warning=ExperimentalWarning"];
  const child = fork(new URL(module, import.meta.url), {
    execArgv,
    signal,
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  const messages: unknown[] = [];
  let wake: () => void = () => {};
  let ended: Error | undefined;
  child.on("message", (message) => {
    messages.push(message);
    wake();
  });
  child.once("error", (error) => {
    ended = error;
    wake();
  });
  child.once("exit", (code) => {
    ended ??= new Error(`${module} ended with ${code}`);
    wake();
  });
  child.send(job);
  const next = async () => {
    while (messages.length === 0) {
      if (ended !== undefined) throw ended;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    return messages.shift();
  };
  try {
    return await use(child, next);
  } finally {
    if (child.connected) child.disconnect();
  }
}

async function targetOf({ api }: ApiBench): Promise<HttpTarget> {
  const { ca, cert, key } = api.admin;
  return { host: "127.0.0.1", port: api.port, ca: String(ca), cert: String(cert), key: String(key) };
}

/** Creates and guarded updates of pods, and the same number of raw transactions of the same size in flight at etcd. */
async function measureWrites(bench: ApiBench, seeded: Seeded, options: RunOptions): Promise<WriteFigures[]> {
  const timing = { inFlight: IN_FLIGHT, warmUpMs: WARM_UP_SECONDS * 1000, measureMs: SECONDS * 1000 };
  const server = await targetOf(bench);
  const context = { pids: bench.pids(), signal: options.signal };
  const template = JSON.stringify(benchPod(NAME_MARK, WRITE_NAMESPACE, seeded.padding));
  const http = { ...timing, target: "http", server } as const;
  const create: LoadJob = {
    ...http,
    expectStatus: 201,
    method: "POST",
    path: podsPath(WRITE_NAMESPACE),
    template,
    namePrefix: "pod-",
  };
  const update: LoadJob = { ...http, expectStatus: 200, method: "PUT", objects: await objectsToUpdate(bench) };
  const figures: WriteFigures[] = [];
  for (const [what, job] of [
    ["create", create],
    ["update", update],
  ] as const) {
    const etcdJob: LoadJob = {
      ...{ ...timing, target: "etcd", endpoint: bench.etcd.endpoint, operation: what },
      ...{ keyPrefix: `/knarr-bench/${what}/`, valueBytes: seeded.pod.length, keyCount: 0 },
    };
    const api = await runLoad(`API ${what}`, job, context);
    const etcd = await runLoad(`etcd ${what}`, etcdJob, context);
    const failed = api.failures === 0 ? "" : `; ${api.failures} failed: ${api.firstFailure}`;
    options.say(`${what}: ${api.perSecond.toFixed(0)}/s against ${etcd.perSecond.toFixed(0)}/s${failed}`);
    figures.push({ what, api, etcd });
  }
  return figures;
}

/** One pod for each lane, with marks for its version and for what is new in each update. */
async function objectsToUpdate({ client }: ApiBench): Promise<{ path: string; template: string }[]> {
  return await Promise.all(
    Array.from({ length: IN_FLIGHT }, async (_, index) => {
      const name = podName(index);
      const pod = await client.get(core.pods, { namespace: READ_NAMESPACE, name });
      const annotations = { ...pod.metadata?.annotations, "bench.knarr.local/count": COUNT_MARK };
      const marked = { ...pod, metadata: { ...pod.metadata, annotations, resourceVersion: VERSION_MARK } };
      return { path: `${podsPath(READ_NAMESPACE)}/${name}`, template: JSON.stringify(marked) };
    }),
  );
}

async function measureWatch(bench: ApiBench, options: RunOptions): Promise<WatchStep[]> {
  const { resourceVersion } = (await bench.client.list(core.pods, { namespace: READ_NAMESPACE, limit: 1 })).metadata;
  const job: WatchJob = {
    server: await targetOf(bench),
    watchers: options.watchers,
    watchPath: `${podsPath(READ_NAMESPACE)}?watch=true&resourceVersion=${resourceVersion}`,
    objectPaths: Array.from({ length: 8 }, (_, index) => `${podsPath(READ_NAMESPACE)}/${podName(index)}`),
    rates: RATES,
    stepMs: STEP_MS,
  };
  return await withChild("watch-process.ts", job, options.signal, async (_child, next) => {
    const steps: WatchStep[] = [];
    for (;;) {
      const message = (await next()) as WatchMessage;
      if (message.kind === "failed") throw new Error(`watch: ${message.message}`);
      if (message.kind === "open") options.say(`${job.watchers} watchers are open`);
      if (message.kind === "step") {
        const { step } = message;
        options.say(
          `watch: ${step.writesPerSecond.toFixed(0)} writes/s, ${step.eventsPerSecond.toFixed(0)} events/s, p50 ${step.p50Ms.toFixed(0)} ms, p99 ${step.p99Ms.toFixed(0)} ms`,
        );
        steps.push(step);
      }
      if (message.kind === "done") {
        if (message.eventsMissing !== 0) throw new Error(`watch: ${message.eventsMissing} events did not arrive`);
        return steps;
      }
    }
  });
}

/** What the API server uses while nothing happens but a hundred open watches. */
async function measureIdle(bench: ApiBench): Promise<number> {
  const target = await targetOf(bench);
  const request = renderRequest(
    "GET",
    `${podsPath(READ_NAMESPACE)}?watch=true&allowWatchBookmarks=true&resourceVersion=0&limit=1`,
  );
  const watches = await Promise.all(Array.from({ length: IDLE_WATCHERS }, () => HttpConnection.open(target)));
  for (const watch of watches) watch.send(request).catch(() => undefined); // It ends when it is closed.
  await new Promise((resolve) => setTimeout(resolve, SETTLED_MS));
  const stop = await watchCores(new Map([["apiserver", bench.api.pid] as const]));
  await new Promise((resolve) => setTimeout(resolve, IDLE_MS));
  const used = await stop();
  for (const watch of watches) watch.close();
  return used.of.get("apiserver") ?? 0;
}

/** From starting the process to /readyz, on the data that is there. */
async function measureReady(bench: ApiBench): Promise<number> {
  await bench.api.kill();
  const startedMs = performance.now();
  await bench.api.restart();
  return (performance.now() - startedMs) / 1000;
}
