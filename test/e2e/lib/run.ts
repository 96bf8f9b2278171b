/** Runs commands as a user would and says what they printed when they fail. */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

export const projectRoot = fileURLToPath(new URL("../../..", import.meta.url));

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}
export interface RunOptions {
  readonly input?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** The project's root when absent. */
  readonly cwd?: string;
  /** The command is killed after this; 300 s when absent. */
  readonly timeoutMs?: number;
}

/** Never rejects for a non-zero exit: tests of errors look at `code`. */
export function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: options.cwd ?? projectRoot,
      env: { ...process.env, ...options.env },
      stdio: ["pipe", "pipe", "pipe"],
      timeout: options.timeoutMs ?? 300_000,
      killSignal: "SIGKILL",
    });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    child.on("error", reject);
    child.on("close", (code, signal) => {
      resolve({ code: code ?? 128, stdout, stderr: signal === null ? stderr : `${stderr}\nkilled by ${signal}` });
    });
    child.stdin.on("error", () => {}); // EPIPE: the command ended without reading its input
    child.stdin.end(options.input ?? "");
  });
}

/** As `run`, but a non-zero exit is an error that shows the command and its output. Returns standard output. */
export async function must(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await run(command, args, options);
  if (code !== 0) throw new Error(`${[command, ...args].join(" ")} exited with ${code}\n${stdout}\n${stderr}`);
  return stdout;
}

/** Polls until `probe` returns something other than undefined; the error names what was waited for and the last state. */
export async function eventually<T>(
  what: string,
  timeoutMs: number,
  probe: () => Promise<T | undefined>,
  lastSeen: () => string | Promise<string> = () => "",
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const value = await probe();
    if (value !== undefined) return value;
    if (performance.now() > deadline) throw new Error(`not within ${timeoutMs / 1000} s: ${what}\n${await lastSeen()}`);
    await new Promise((wake) => setTimeout(wake, 250));
  }
}
