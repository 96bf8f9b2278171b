/**
 * Keeps the components of a local cluster running and says how they are. Knows processes only: what a component is, and
 * when it is ready, is for those who ask over the socket.
 */
import { copyFile, rm, stat, truncate } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import type { ComponentSpec } from "../components.ts";
import { ComponentProcess } from "./component-process.ts";
import type { SupervisorRequest, SupervisorResponse } from "./protocol.ts";

export interface SupervisorOptions {
  readonly socketPath: string;
  readonly runDir: string;
  readonly logDir: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

const MAX_LOG_BYTES = 50 * 1024 * 1024;
const LOG_CHECK_MS = 60_000;
const MAX_REQUEST_BYTES = 1024 * 1024;

export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #processes = new Map<string, ComponentProcess>();
  readonly #done = Promise.withResolvers<void>();
  /** Requests change processes one after the other. */
  #queue: Promise<unknown> = Promise.resolve();

  constructor(options: SupervisorOptions) {
    this.#options = options;
  }

  /** Serves until told to shut down, or until the signal aborts (then the components stay). */
  async run(): Promise<void> {
    const { socketPath, signal } = this.#options;
    await rm(socketPath, { force: true });
    const server = createServer({ allowHalfOpen: true }, (socket) => this.#serve(socket));
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ path: socketPath, readableAll: false, writableAll: false }, resolve);
    });
    const leave = () => {
      for (const process of this.#processes.values()) process.leave();
      this.#done.resolve();
    };
    signal.addEventListener("abort", leave, { once: true });
    const logs = this.#rotateLogs();
    await this.#done.promise;
    await closeServer(server);
    await logs;
    await rm(socketPath, { force: true });
  }

  #serve(socket: Socket): void {
    let text = "";
    socket.setEncoding("utf8");
    socket.on("error", (error) => this.#options.log.debug({ err: error }, "client went away"));
    socket.on("data", (chunk: string) => {
      text += chunk;
      const end = text.indexOf("\n");
      if (end >= 0) {
        const line = text.slice(0, end);
        text = "";
        this.#answer(line).then((response) => socket.end(JSON.stringify(response)));
      } else if (text.length > MAX_REQUEST_BYTES) socket.destroy();
    });
  }

  async #answer(line: string): Promise<SupervisorResponse> {
    try {
      const request = JSON.parse(line) as SupervisorRequest;
      const change = this.#queue.then(() => this.#handle(request));
      if (request.op !== "status") this.#queue = change.catch(() => {});
      await (request.op === "status" ? undefined : change);
      return { ok: true, pid: process.pid, components: this.#states() };
    } catch (error) {
      return { ok: false, error: error instanceof Error ? error.message : String(error) };
    }
  }

  async #handle(request: SupervisorRequest): Promise<void> {
    switch (request.op) {
      case "status":
        return;
      case "start":
        for (const spec of request.components) await this.#startOne(spec);
        return;
      case "stop":
        return this.#stop(request.names ?? [...this.#processes.keys()].toReversed());
      case "remove":
        await this.#stop(request.names.filter((name) => this.#processes.has(name)));
        for (const name of request.names) this.#processes.delete(name);
        return;
      case "shutdown":
        await this.#stop([...this.#processes.keys()].toReversed());
        // The answer goes out first.
        this.#options.clock.setTimeout(() => this.#done.resolve(), 50);
        return;
      default:
        throw new Error(`unknown request ${JSON.stringify((request satisfies never as { op?: unknown }).op)}`);
    }
  }

  async #startOne(spec: ComponentSpec): Promise<void> {
    const known = this.#processes.get(spec.name);
    if (known !== undefined) {
      if (JSON.stringify(known.spec) === JSON.stringify(spec)) return known.start();
      await known.stop();
    }
    const { runDir, logDir, clock, log } = this.#options;
    const created = new ComponentProcess({ spec, runDir, logDir, clock, log });
    this.#processes.set(spec.name, created);
    await created.start();
  }

  async #stop(names: readonly string[]): Promise<void> {
    for (const name of names) {
      const known = this.#processes.get(name);
      if (known === undefined) throw new Error(`no component ${name}`);
      await known.stop();
    }
  }

  #states() {
    return [...this.#processes.values()].map((process) => ({
      name: process.spec.name,
      state: process.state,
      pid: process.pid,
      startedMs: process.startedMs,
      restarts: process.restarts,
      lastExit: process.lastExit,
    }));
  }

  /** Components append, so a log can be copied aside and cut to nothing under them. */
  async #rotateLogs(): Promise<void> {
    const { clock, logDir, log } = this.#options;
    const stopped = new AbortController();
    this.#done.promise.then(() => stopped.abort());
    while (!stopped.signal.aborted) {
      try {
        await clock.sleep(LOG_CHECK_MS, stopped.signal);
        for (const name of this.#processes.keys()) await rotate(join(logDir, `${name}.log`));
      } catch (error) {
        if (!stopped.signal.aborted) log.warn({ err: error }, "log could not be rotated");
      }
    }
  }
}

async function rotate(file: string): Promise<void> {
  if ((await stat(file)).size < MAX_LOG_BYTES) return;
  await copyFile(file, `${file}.1`);
  await truncate(file);
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}
