#!/usr/bin/env node
import { runCli } from "./program.ts";

const controller = new AbortController();
for (const name of ["SIGINT", "SIGTERM"] as const) {
  process.on(name, () => {
    if (controller.signal.aborted) process.exit(130);
    controller.abort(new DOMException(`interrupted by ${name}`, "AbortError"));
  });
}
// A reader that went away (`knarr get pods | head -1`) ends us quietly.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});
process.exitCode = await runCli(process.argv.slice(2), {
  stdout: process.stdout,
  stderr: process.stderr,
  stdin: process.stdin,
  env: process.env,
  signal: controller.signal,
});
// Idle keep-alive connections must not keep a finished command alive; what was written is flushed first.
process.stdout.write("", () => process.exit());
