/**
 * Ties children to the process of a test file: it ends by itself, or the runner ends it (SIGTERM at the file's time limit,
 * SIGINT by hand), and what it started would go on for ever, eat the machine and hold its ports and mounts.
 */
import type { ChildProcess } from "node:child_process";

const alive = new Set<ChildProcess>();
let isWatching = false;

/** SIGKILL for the child when this process ends, unless it is gone by then. */
export function endWithThisProcess(child: ChildProcess): void {
  alive.add(child);
  child.once("exit", () => alive.delete(child));
  if (isWatching) return;
  isWatching = true;
  process.on("exit", killAll);
  for (const [signal, number] of [["SIGTERM", 15] as const, ["SIGINT", 2] as const]) {
    process.once(signal, () => {
      killAll();
      // Whoever else handles it decides what follows; without anyone, this ends as it would have without us.
      if (process.listenerCount(signal) === 0) process.exit(128 + number);
    });
  }
}

function killAll(): void {
  for (const child of alive) child.kill("SIGKILL");
}
