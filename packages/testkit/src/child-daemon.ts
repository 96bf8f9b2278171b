/**
 * A daemon as a child process of a test: started with its output kept, waited for until ready, stopped by its own id.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

export interface ChildDaemonOptions {
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** Answers whether the daemon serves; asked every 25 ms. */
  readonly ready: () => Promise<boolean>;
  /** How long to wait for that; 30 s when absent. */
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
    const daemon = new ChildDaemon(child);
    const deadline = Date.now() + (options.readyTimeoutMs ?? 30_000);
    while (!(await options.ready())) {
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

/** A TCP port of 127.0.0.1 that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  await new Promise<void>((resolve) => server.close(() => resolve()));
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}
