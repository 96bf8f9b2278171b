/**
 * A child of the benchmark: a thousand watchers, each on a TLS connection of its own, and a writer that patches at a set rate. Events are
 * counted by looking for how they begin, nothing is parsed: the client shares the machine with the server.
 */
import { connect, type TLSSocket } from "node:tls";
import { HttpConnection, type HttpTarget } from "../http-connection.ts";
import type { WatchJob, WatchMessage } from "./watch-job.ts";

const EVENT = Buffer.from('{"type":"MODIFIED"');
const SENT = Buffer.from('bench.knarr.local/sent":"');
/** An event is longer than this: where the next one is looked for. */
const MIN_EVENT_BYTES = 2_500;
/** Of so many watchers one looks at how old its events are. */
const SAMPLE_EVERY = 10;
const CONNECT_AT_ONCE = 25;

const latencies: number[] = [];
let bytes = 0;

class Watcher {
  events = 0;
  readonly #isSample: boolean;
  #tail = "";

  constructor(socket: TLSSocket, isSample: boolean) {
    this.#isSample = isSample;
    socket.on("data", (chunk: Buffer) => this.#take(chunk));
  }

  #take(chunk: Buffer): void {
    bytes += chunk.length;
    // An event's beginning may be cut in two by the chunks.
    const seam = this.#tail + chunk.toString("latin1", 0, EVENT.length - 1);
    if (seam.includes('{"type":"MODIFIED"')) this.events++;
    for (let at = chunk.indexOf(EVENT); at >= 0; at = chunk.indexOf(EVENT, at + MIN_EVENT_BYTES)) {
      this.events++;
      if (this.#isSample) this.#measure(chunk, at);
    }
    this.#tail = chunk.toString("latin1", Math.max(0, chunk.length - EVENT.length + 1));
  }

  #measure(chunk: Buffer, from: number): void {
    const at = chunk.indexOf(SENT, from);
    if (at < 0 || at + SENT.length + 24 > chunk.length) return;
    const sentMs = Number.parseFloat(chunk.toString("latin1", at + SENT.length, at + SENT.length + 24));
    latencies.push(performance.now() - sentMs);
  }
}

function openWatch({ host, port, ca, cert, key }: HttpTarget, path: string, isSample: boolean): Promise<Watcher> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, ca, cert, key, ALPNProtocols: ["http/1.1"] });
    socket.once("error", reject);
    socket.once("secureConnect", () => {
      socket.write(`GET ${path} HTTP/1.1\r\nhost: bench\r\naccept: application/json\r\n\r\n`);
      socket.once("data", (head: Buffer) => {
        if (head.toString("latin1", 9, 12) !== "200") reject(new Error(`a watch was refused: ${head}`));
        else resolve(new Watcher(socket, isSample));
      });
    });
  });
}

const patchOf = (path: string) => {
  const body = `{"metadata":{"annotations":{"bench.knarr.local/sent":"${performance.now().toFixed(3).padEnd(24, " ")}"}}}`;
  const type = "content-type: application/merge-patch+json";
  return Buffer.from(
    `PATCH ${path} HTTP/1.1\r\nhost: bench\r\n${type}\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  );
};

async function run(job: WatchJob, tell: (message: WatchMessage) => void): Promise<void> {
  const watchers: Watcher[] = [];
  while (watchers.length < job.watchers) {
    const next = Array.from({ length: Math.min(CONNECT_AT_ONCE, job.watchers - watchers.length) }, (_, index) =>
      openWatch(job.server, job.watchPath, (watchers.length + index) % SAMPLE_EVERY === 0),
    );
    watchers.push(...(await Promise.all(next)));
  }
  const writers = await Promise.all(job.objectPaths.map(() => HttpConnection.open(job.server)));
  tell({ kind: "open" });
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  let written = 0;
  const count = () => watchers.reduce((sum, watcher) => sum + watcher.events, 0);
  for (const rate of job.rates) {
    latencies.length = 0;
    const [before, bytesBefore, writtenBefore] = [count(), bytes, written];
    const cpu = process.cpuUsage();
    const startedMs = performance.now();
    const under: Promise<void>[] = [];
    const idle = writers.map((connection, index) => ({ connection, path: job.objectPaths[index] ?? "" }));
    for (let sent = 0; performance.now() - startedMs < job.stepMs; sent++) {
      const waitMs = startedMs + (sent * 1000) / rate - performance.now();
      if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
      // Writers all busy: the server is behind, and the step gets fewer writes than asked for.
      while (idle.length === 0) await Promise.race(under);
      const writer = idle.shift() as (typeof idle)[number];
      const call = writer.connection.send(patchOf(writer.path)).then(({ status, start }) => {
        if (status !== 200) throw new Error(`a patch was answered ${status}: ${start}`);
        written++;
        idle.push(writer);
        void under.splice(under.indexOf(call), 1);
      });
      under.push(call);
    }
    await Promise.all(under);
    // Events that come late count, and so does the time that they take.
    for (let waits = 0; count() < written * watchers.length && waits < 3_000; waits++) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    const elapsedMs = performance.now() - startedMs;
    const events = count() - before;
    const used = process.cpuUsage(cpu);
    latencies.sort((a, b) => a - b);
    const quantile = (q: number) => latencies[Math.floor(q * (latencies.length - 1))] ?? 0;
    tell({
      kind: "step",
      step: {
        writesPerSecond: ((written - writtenBefore) * 1000) / elapsedMs,
        eventsPerSecond: (events * 1000) / elapsedMs,
        bytesPerSecond: ((bytes - bytesBefore) * 1000) / elapsedMs,
        p50Ms: quantile(0.5),
        p99Ms: quantile(0.99),
        clientCores: (used.user + used.system) / 1000 / elapsedMs,
      },
    });
  }
  tell({ kind: "done", eventsMissing: written * watchers.length - count() });
}

process.once("message", (job) => {
  const tell = (message: WatchMessage) => process.send?.(message);
  run(job as WatchJob, tell).catch((error: unknown) => {
    tell({ kind: "failed", message: error instanceof Error ? error.message : String(error) });
  });
});
process.once("disconnect", () => process.exit(0));
