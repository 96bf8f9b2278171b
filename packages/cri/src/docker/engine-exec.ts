/** One command run in a container by Docker: started, its streams taken apart, its end found. */
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import type Docker from "dockerode";
import type { CallOptions, StreamRequest } from "../runtime.ts";
import { RuntimeError } from "../runtime-error.ts";
import type { DockerEngine } from "./docker-engine.ts";
import { StreamDemux } from "./stream-demux.ts";

interface InspectedExec {
  readonly Running: boolean;
  readonly ExitCode: number | null;
  readonly Pid: number;
}

/** Docker ends an attachment at this; its own default, ctrl-p ctrl-q, is something that people type. */
export const NO_DETACH_KEYS = "ctrl-^,ctrl-^,ctrl-^,ctrl-^,ctrl-^,ctrl-^,ctrl-_";

/** After the command's end, for output that its children hold open. */
const OUTPUT_GRACE_MS = 1000;
const POLL_MIN_MS = 20;
const POLL_MAX_MS = 500;

export interface ExecOutput {
  /** Resolves when the consumer can take more. */
  write(stream: "stdout" | "stderr", data: Buffer): Promise<void> | void;
}

export class EngineExec {
  readonly #engine: DockerEngine;
  readonly #exec: Docker.Exec;
  readonly #tty: boolean;
  /** Both directions; ending it is the end of the command's input. */
  readonly connection: Duplex;

  private constructor(engine: DockerEngine, exec: Docker.Exec, connection: Duplex, tty: boolean) {
    this.#engine = engine;
    this.#exec = exec;
    this.connection = connection;
    this.#tty = tty;
    connection.on("error", () => connection.destroy());
  }

  static async start(
    engine: DockerEngine,
    containerId: string,
    command: readonly string[],
    request: StreamRequest,
    options?: CallOptions,
  ): Promise<EngineExec> {
    const exec = await engine.call(
      (docker, abortSignal) =>
        docker.getContainer(containerId).exec({
          AttachStdin: request.stdin,
          AttachStdout: request.stdout,
          AttachStderr: request.stderr && !request.tty,
          Tty: request.tty,
          Cmd: [...command],
          DetachKeys: NO_DETACH_KEYS,
          abortSignal,
        }),
      options,
    );
    const connection = await engine.call(
      (_, abortSignal) => exec.start({ hijack: true, stdin: true, Tty: request.tty, abortSignal }),
      options,
    );
    return new EngineExec(engine, exec, connection, request.tty);
  }

  async resize(width: number, height: number): Promise<void> {
    await this.#engine.call((_, abortSignal) => this.#exec.resize({ w: width, h: height, abortSignal }));
  }

  /** Copies the output until the command has ended; returns its exit code. An abort leaves the command running. */
  async finish(output: ExecOutput, signal?: AbortSignal): Promise<number> {
    const onAbort = () => this.connection.destroy();
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      const copied = copyOutput(this.connection, this.#tty, output);
      const code = await this.#exitCode(copied, signal);
      await Promise.race([copied, sleep(OUTPUT_GRACE_MS, undefined, { ref: false })]);
      return code;
    } finally {
      signal?.removeEventListener("abort", onAbort);
      this.connection.destroy();
    }
  }

  async #exitCode(copied: Promise<void>, signal: AbortSignal | undefined): Promise<number> {
    for (let delayMs = POLL_MIN_MS; ; delayMs = Math.min(POLL_MAX_MS, delayMs * 2)) {
      const ended = await Promise.race([copied.then(() => true), sleep(delayMs, false, { ref: false })]);
      signal?.throwIfAborted();
      const { Running, ExitCode } = await this.inspect();
      if (!Running && ExitCode !== null) return ExitCode;
      // Its streams are closed, and it may go on for long: no reason to ask fifty times a second.
      if (ended) await sleep(delayMs, undefined, { ref: false });
    }
  }

  async inspect(): Promise<InspectedExec> {
    return await this.#engine.call(
      async (_, abortSignal) => (await this.#exec.inspect({ abortSignal })) as unknown as InspectedExec,
    );
  }

  /** Docker has no call for it. The process is asked for right before. */
  async kill(): Promise<void> {
    const { Running, Pid } = await this.inspect();
    if (!Running || Pid <= 0) return;
    try {
      process.kill(Pid, "SIGKILL");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  }
}

/** Resolves when the stream has ended or broken. */
export async function copyOutput(connection: Duplex, tty: boolean, output: ExecOutput): Promise<void> {
  const demux = new StreamDemux();
  try {
    for await (const chunk of connection) {
      const parts = tty ? [{ stream: "stdout" as const, data: chunk as Buffer }] : demux.push(chunk as Buffer);
      for (const { stream, data } of parts) await output.write(stream, data);
    }
  } catch {
    // Destroyed by us, or the engine went away: the exit code, or its absence, tells what to think of it.
  }
}

/** What Docker writes into the stream when the command could not be started. */
const START_FAILURE = /^OCI runtime exec failed: /;
const START_FAILURE_CODES = new Set([126, 127]);

/** A command that never ran is an error, not a result. Source: containerd's CRI plugin */
export function startFailure(exitCode: number, output: string): RuntimeError | undefined {
  if (!START_FAILURE_CODES.has(exitCode) || !START_FAILURE.test(output)) return undefined;
  return new RuntimeError("Unknown", `failed to exec in container: ${output.trim()}`);
}
