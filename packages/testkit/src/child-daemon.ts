/**
 * A daemon as a child process of a test: started with its output kept, waited for until ready, stopped by its own id. It
 * never outlives the test's process, however that ends.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { endWithThisProcess } from "./end-with-this-process.ts";

/** A question that gets no answer in this time counts as "not ready". */
const QUESTION_TIMEOUT_MS = 5_000;

export interface ChildDaemonOptions {
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** Answers whether the daemon serves; asked every 25 ms. */
  readonly ready: () => Promise<boolean>;
  /** How long to wait for that; 60 s when absent. */
  readonly readyTimeoutMs?: number;
}

export class ChildDaemon {
  readonly #process: ChildProcess;
  readonly #output: string[] = [];
  readonly exited: Promise<number | null>;

  private constructor(process: ChildProcess) {
    this.#process = process;
    const keep = (chunk: Buffer) => {
      this.#output.push(chunk.toString());
      if (this.#output.length > 2000) this.#output.splice(0, 1000);
    };
    process.stdout?.on("data", keep);
    process.stderr?.on("data", keep);
    this.exited = new Promise((resolve) => {
      process.once("exit", (code) => resolve(code));
      process.once("error", () => resolve(null));
    });
  }

  /** Starts the process and resolves once it is ready; rejects with its output when it dies or is not ready in time. */
  static async start(options: ChildDaemonOptions): Promise<ChildDaemon> {
    const child = spawn(options.command, options.args, {
      stdio: ["ignore", "pipe", "pipe"],
      env: options.env ?? process.env,
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    });
    endWithThisProcess(child);
    const daemon = new ChildDaemon(child);
    const deadline = Date.now() + (options.readyTimeoutMs ?? 120_000);
    while (!(await answersYes(options.ready, deadline))) {
      if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) {
        throw new Error(`${options.command} ended before it was ready:\n${daemon.output}`);
      }
      if (Date.now() > deadline) {
        await daemon.kill();
        throw new Error(`${options.command} was not ready in time:\n${daemon.output}`);
      }
      await sleep(25);
    }
    return daemon;
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  /** What it wrote so far, both streams together. */
  get output(): string {
    return this.#output.join("");
  }

  /** SIGTERM, then SIGKILL after `graceMs`. Idempotent. */
  async stop(graceMs = 10_000): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    this.#process.kill("SIGTERM");
    const timer = setTimeout(() => this.#process.kill("SIGKILL"), graceMs);
    await this.exited;
    clearTimeout(timer);
  }

  /** SIGKILL: the daemon gets no chance to tidy up. */
  async kill(): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.exited;
  }

  signal(name: NodeJS.Signals): void {
    this.#process.kill(name);
  }
}

/** A peer that takes the connection and never answers must not hold up the deadline. */
async function answersYes(ready: () => Promise<boolean>, deadline: number): Promise<boolean> {
  const over = new AbortController();
  const timeoutMs = Math.max(1, Math.min(QUESTION_TIMEOUT_MS, deadline - Date.now()));
  const timeout = sleep(timeoutMs, false, { signal: over.signal }).catch(() => false);
  try {
    return await Promise.race([ready(), timeout]);
  } finally {
    over.abort();
  }
}

// Below the ports that the kernel gives to outgoing connections (32768 and up) and below the NodePorts (30000 and up): one of
// theirs can be taken by any connection of the machine before the daemon listens, or while a test has it stopped.
const FIRST_PORT = 11_000;
const LAST_PORT = 29_999;
const given = new Set<number>();

/** A TCP port that was free on all addresses a moment ago, and that no outgoing connection takes. Never the same twice. */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 1000; attempt++) {
    const port = randomInt(FIRST_PORT, LAST_PORT + 1);
    if (given.has(port)) continue;
    given.add(port);
    if (await isFree(port)) return port;
  }
  throw new Error(`no free port between ${FIRST_PORT} and ${LAST_PORT}`);
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  const listens = await new Promise<boolean>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) =>
      error.code === "EADDRINUSE" ? resolve(false) : reject(error),
    );
    server.listen(port, "0.0.0.0", () => resolve(true));
  });
  if (listens) await new Promise<void>((resolve) => server.close(() => resolve()));
  return listens;
}
