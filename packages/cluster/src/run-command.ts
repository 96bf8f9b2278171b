/** Runs a program to its end; a failure shows what was run and what it said. */
import { execFile } from "node:child_process";

export class CommandError extends Error {
  readonly exitCode: number | undefined;
  readonly stderr: string;
  constructor(command: readonly string[], exitCode: number | undefined, stderr: string, cause: unknown) {
    super(`${command.join(" ")}: ${stderr.trim() || (cause instanceof Error ? cause.message : String(cause))}`, {
      cause,
    });
    this.name = "CommandError";
    this.exitCode = exitCode;
    this.stderr = stderr;
  }
}

export interface CommandOptions {
  readonly signal?: AbortSignal | undefined;
  readonly input?: string;
  /** 60 s when absent. */
  readonly timeoutMs?: number;
}

/** Standard output. Throws CommandError for a non-zero exit, a missing program and the deadline. */
export function runCommand(command: readonly string[], options: CommandOptions = {}): Promise<string> {
  const [program = "", ...args] = command;
  return new Promise((resolve, reject) => {
    const child = execFile(
      program,
      args,
      {
        timeout: options.timeoutMs ?? 60_000,
        killSignal: "SIGKILL",
        maxBuffer: 16 * 1024 * 1024,
        ...(options.signal === undefined ? {} : { signal: options.signal }),
      },
      (error, stdout, stderr) => {
        if (error === null) resolve(stdout);
        else reject(new CommandError(command, typeof error.code === "number" ? error.code : undefined, stderr, error));
      },
    );
    child.stdin?.on("error", () => {}); // EPIPE: the program ended without reading; its exit code says why
    child.stdin?.end(options.input ?? "");
  });
}

/** As `runCommand`, but undefined where it fails with a code: for questions ("is there such a link?"). */
export async function tryCommand(
  command: readonly string[],
  options: CommandOptions = {},
): Promise<string | undefined> {
  try {
    return await runCommand(command, options);
  } catch (error) {
    if (error instanceof CommandError && error.exitCode !== undefined) return undefined;
    throw error;
  }
}
