/** Runs a tool to its end; a failure carries what it wrote. */
import { execFile } from "node:child_process";

export type RunCommand = (command: string, args: readonly string[]) => Promise<string>;

const DEADLINE_MS = 30_000;

export const runCommand: RunCommand = (command, args) => {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const options = { timeout: DEADLINE_MS, maxBuffer: 2 ** 24 };
  execFile(command, args, options, (error, stdout, stderr) => {
    if (error === null) resolve(stdout);
    else reject(new Error(`${command} failed: ${stderr.trim() || error.message}`, { cause: error }));
  });
  return promise;
};
