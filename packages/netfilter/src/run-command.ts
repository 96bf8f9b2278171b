/** Runs one of the kernel's tools to its end, with text on standard input and its output returned. Never a shell. */
import { spawn } from "node:child_process";

export interface CommandOptions {
  readonly input?: string;
  /** The process is killed after this long; 60 s when absent. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

export interface CommandResult {
  /** undefined when a signal ended it. */
  readonly code: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

/** The tool is not installed, failed, or did not end in time. */
export class CommandError extends Error {
  override readonly name: string = "CommandError";
  readonly command: string;
  /** "missing": no such program; "failed": it exited with `exitCode`; "timeout": it was killed. */
  readonly reason: "missing" | "failed" | "timeout";
  readonly exitCode: number | undefined;
  readonly stderr: string;

  constructor(command: string, reason: CommandError["reason"], result?: Partial<CommandResult>, cause?: unknown) {
    const said = result?.stderr?.trim().split("\n").slice(0, 3).join("; ") ?? "";
    super(
      `${command} ${reason}${result?.code === undefined ? "" : ` with code ${result.code}`}${said && `: ${said}`}`,
      {
        cause,
      },
    );
    this.command = command;
    this.reason = reason;
    this.exitCode = result?.code;
    this.stderr = result?.stderr ?? "";
  }
}

/** Resolves with whatever the program answered, also when it failed; rejects when it can't be run or is killed. */
export async function runCommand(
  command: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  options.signal?.throwIfAborted();
  const child = spawn(command, args, {
    stdio: ["pipe", "pipe", "pipe"],
    env: { PATH: process.env.PATH ?? "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C" },
  });
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
  // A program that ends without reading its input closes the pipe; its exit code says what happened.
  child.stdin.on("error", () => {});
  child.stdin.end(options.input ?? "");
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    child.kill("SIGKILL");
  }, options.timeoutMs ?? 60_000);
  const onAbort = () => child.kill("SIGTERM");
  options.signal?.addEventListener("abort", onAbort, { once: true });
  try {
    const code = await new Promise<number | undefined>((resolve, reject) => {
      child.once("error", (error: NodeJS.ErrnoException) => {
        reject(error.code === "ENOENT" ? new CommandError(command, "missing", {}, error) : error);
      });
      child.once("close", (exitCode) => resolve(exitCode ?? undefined));
    });
    options.signal?.throwIfAborted();
    const result = { code, stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() };
    if (timedOut) throw new CommandError(command, "timeout", result);
    return result;
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener("abort", onAbort);
  }
}

/** Like `runCommand`, and rejects with a CommandError when the exit code is not 0. Resolves with standard output. */
export async function runChecked(
  command: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<string> {
  const result = await runCommand(command, args, options);
  if (result.code !== 0) throw new CommandError(`${command} ${args.slice(0, 4).join(" ")}`, "failed", result);
  return result.stdout;
}
