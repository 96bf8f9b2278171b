/**
 * One supervised process.
 *
 *   stopped --start()--> running --exits--> waiting (back-off) --> running
 *      ^                    |                    |
 *      +------ stop() ------+-------- stop() ----+
 *
 * Its identity is written to <run>/<name>.json at each start, so that a supervisor that comes after this one finds it.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Backoff } from "@knarr/daemon/backoff.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import type { ComponentSpec } from "../components.ts";
import { identify, isAlive, type ProcessIdentity, signalProcess } from "./process-identity.ts";

export interface ComponentProcessOptions {
  readonly spec: ComponentSpec;
  readonly runDir: string;
  /** Undefined leaves the output where this process's own goes. */
  readonly logDir: string | undefined;
  readonly clock: Clock;
  readonly log: Logger;
}

export type ProcessState = "stopped" | "running" | "waiting";

/** Back-off after exits; one that stayed up this long starts again at the beginning. */
const BACKOFF = { initialMs: 100, maxMs: 5000 } as const;
const STEADY_MS = 30_000;
const POLL_MS = 50;

export class ComponentProcess {
  readonly spec: ComponentSpec;
  readonly #options: ComponentProcessOptions;
  readonly #backoff = new Backoff(BACKOFF);
  #state: ProcessState = "stopped";
  #child: ChildProcess | undefined;
  #cancelRestart: (() => void) | undefined;
  #startedMs = 0;
  #restarts = 0;
  #lastExit = "";

  constructor(options: ComponentProcessOptions) {
    this.spec = options.spec;
    this.#options = options;
  }

  get state(): ProcessState {
    return this.#state;
  }
  get pid(): number | undefined {
    return this.#child?.pid;
  }
  /** Epoch milliseconds of the last start. */
  get startedMs(): number {
    return this.#startedMs;
  }
  get restarts(): number {
    return this.#restarts;
  }
  /** How it ended last: "exit code 1", "SIGKILL"; "" when it never did. */
  get lastExit(): string {
    return this.#lastExit;
  }

  /** Ends what an earlier supervisor left of this component, and starts it. Does nothing when it runs already. */
  async start(): Promise<void> {
    if (this.#state !== "stopped") return;
    await endLeftover(this.#identityFile, this.spec.stopTimeoutMs, this.#options.clock);
    await this.#launch();
  }

  /** SIGTERM, SIGKILL after the component's time; resolves when it is gone. */
  async stop(): Promise<void> {
    this.#cancelRestart?.();
    const child = this.#child;
    this.#state = "stopped";
    if (child !== undefined && child.exitCode === null && child.signalCode === null) {
      const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()));
      child.kill("SIGTERM");
      const cancel = this.#options.clock.setTimeout(() => child.kill("SIGKILL"), this.spec.stopTimeoutMs);
      await gone;
      cancel();
    }
    this.#child = undefined;
    await rm(this.#identityFile, { force: true });
  }

  /** It goes on, and whoever comes next sees to it: this one starts it no more. */
  leave(): void {
    this.#cancelRestart?.();
    this.#state = "stopped";
    this.#child = undefined;
  }

  get #identityFile(): string {
    return identityFile(this.#options.runDir, this.spec.name);
  }

  async #launch(): Promise<void> {
    const [program = "", ...args] = this.spec.command;
    const { logDir } = this.#options;
    const output = logDir === undefined ? "inherit" : openSync(join(logDir, `${this.spec.name}.log`), "a");
    // A process group of its own: a Ctrl-C at the terminal of `knarr up` is not for the cluster.
    // Daemons start sooner and smaller when Node.js finds their sources stripped and compiled already.
    const env = { ...process.env, NODE_COMPILE_CACHE: join(this.#options.runDir, "compile-cache") };
    const child = spawn(program, args, { stdio: ["ignore", output, output], detached: true, cwd: "/", env });
    if (output !== "inherit") closeSync(output);
    // A supervisor that ends leaves its components running; they must not keep it.
    child.unref();
    this.#child = child;
    this.#state = "running";
    this.#startedMs = this.#options.clock.now();
    child.once("error", (error) => this.#onExit(child, `could not start: ${error.message}`));
    child.once("exit", (code, signal) => this.#onExit(child, signal ?? `exit code ${code}`));
    if (child.pid !== undefined) await this.#remember(child.pid);
  }

  async #remember(pid: number): Promise<void> {
    const identity = await identify(pid);
    if (identity === undefined) return;
    await writeFile(`${this.#identityFile}.new`, JSON.stringify(identity));
    await rename(`${this.#identityFile}.new`, this.#identityFile);
  }

  #onExit(child: ChildProcess, how: string): void {
    if (this.#child !== child || this.#state !== "running") return;
    this.#lastExit = how;
    this.#child = undefined;
    this.#state = "waiting";
    if (this.#options.clock.now() - this.#startedMs > STEADY_MS) this.#backoff.reset();
    const delayMs = this.#backoff.next();
    this.#options.log.warn({ component: this.spec.name, how, delayMs }, "component ended, will be started again");
    this.#cancelRestart = this.#options.clock.setTimeout(() => {
      if (this.#state !== "waiting") return;
      this.#restarts++;
      this.#launch().catch((error: unknown) => {
        this.#options.log.error({ err: error, component: this.spec.name }, "component could not be started");
        this.#state = "stopped";
      });
    }, delayMs);
  }
}

export function identityFile(runDir: string, component: string): string {
  return join(runDir, `${component}.json`);
}

/** Reads the identity that an earlier run wrote; undefined when there is none or it is broken (a crash while writing). */
export async function readIdentity(file: string): Promise<ProcessIdentity | undefined> {
  try {
    return JSON.parse(await readFile(file, "utf8")) as ProcessIdentity;
  } catch (error) {
    if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** Ends the process whose identity `file` holds, if it is still that process, and removes the file. */
export async function endLeftover(file: string, timeoutMs: number, clock: Clock): Promise<void> {
  const identity = await readIdentity(file);
  if (identity !== undefined && (await signalProcess(identity, "SIGTERM"))) {
    const deadlineMs = clock.monotonicMs() + timeoutMs;
    while (await isAlive(identity)) {
      if (clock.monotonicMs() > deadlineMs) await signalProcess(identity, "SIGKILL");
      await clock.sleep(POLL_MS);
    }
  }
  await rm(file, { force: true });
}
