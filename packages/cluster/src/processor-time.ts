/** How busy a process is. Source of the format: Documentation/scheduler/sched-stats.rst (schedstat: ns on a processor first) */
import { readdir, readFile } from "node:fs/promises";
import { systemClock } from "@knarr/daemon/clock.ts";

const WINDOW_MS = 500;

/** Thousandths of a core that all threads of the process used in half a second; 0 when it ended. */
export async function processorMillis(pid: number, windowMs = WINDOW_MS): Promise<number> {
  const startedMs = systemClock.monotonicMs();
  const before = await nanosOnProcessor(pid);
  await systemClock.sleep(windowMs);
  const used = (await nanosOnProcessor(pid)) - before;
  return Math.max(0, Math.round(used / 1000 / (systemClock.monotonicMs() - startedMs)));
}

/** Clock ticks would be too coarse: an idle daemon uses less than one in half a second. */
async function nanosOnProcessor(pid: number): Promise<number> {
  const threads = await readdir(`/proc/${pid}/task`).catch(() => []); // ended
  const texts = await Promise.all(
    threads.map((thread) => readFile(`/proc/${pid}/task/${thread}/schedstat`, "utf8").catch(() => "0")), // ended
  );
  return texts.reduce((sum, text) => sum + Number(text.split(" ")[0]), 0);
}
