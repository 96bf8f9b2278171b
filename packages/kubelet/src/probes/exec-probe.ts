/** Exec probes: a command that exits with 0 is well. */
import type { StreamService } from "@knarr/cri/runtime.ts";
import { RuntimeError } from "@knarr/cri/runtime-error.ts";
import type { ProbeAnswer } from "./probe-request.ts";

const MAX_OUTPUT_BYTES = 10 * 1024;

export async function runExecProbe(
  runtime: StreamService,
  containerId: string,
  command: readonly string[],
  timeoutMs: number,
): Promise<ProbeAnswer> {
  try {
    const { stdout, stderr, exitCode } = await runtime.execSync(containerId, command, timeoutMs);
    const output = Buffer.concat([stdout, stderr]).toString("utf8", 0, MAX_OUTPUT_BYTES);
    return { result: exitCode === 0 ? "success" : "failure", output };
  } catch (error) {
    if (!(error instanceof RuntimeError)) throw error;
    // containerd tells of a timeout with DeadlineExceeded, its older versions with Unknown and these words.
    if (error.code === "DeadlineExceeded" || /deadline exceeded|timed? ?out/.test(error.detail)) {
      return {
        result: "failure",
        output: `command timed out: ${JSON.stringify(command.join(" "))} timed out after ${timeoutMs / 1000}s`,
      };
    }
    return { result: "unknown", output: error.message };
  }
}
