/** Processor time that processes and the whole machine used, from /proc, in seconds. */
import { readFile } from "node:fs/promises";

/** Linux reports in hundredths of a second on every architecture that Node runs on. */
const TICKS_PER_SECOND = 100;

/** User and system time of a process since its start; 0 when it is gone. */
export async function processSeconds(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => ""); // ended meanwhile
  // Fields are counted behind the command, which may hold spaces and brackets. Source: proc_pid_stat(5)
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) / TICKS_PER_SECOND;
}

/** Everything but idle and waiting for disks, of all cores together. */
export async function machineBusySeconds(): Promise<number> {
  const [first = ""] = (await readFile("/proc/stat", "utf8")).split("\n");
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = first.split(/\s+/).slice(1).map(Number);
  return (user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND;
}

/** Starts a stopwatch; the returned function says how many cores each process and the whole machine used meanwhile. */
export async function watchCores<K extends string>(
  pids: ReadonlyMap<K, number>,
): Promise<() => Promise<{ readonly machine: number; readonly of: ReadonlyMap<K, number> }>> {
  const read = async () => ({
    atMs: performance.now(),
    busy: await machineBusySeconds(),
    seconds: new Map(await Promise.all([...pids].map(async ([k, pid]) => [k, await processSeconds(pid)] as const))),
  });
  const before = await read();
  return async () => {
    const after = await read();
    const elapsed = (after.atMs - before.atMs) / 1000;
    const used = [...after.seconds].map(([k, s]) => [k, (s - (before.seconds.get(k) ?? 0)) / elapsed] as const);
    return { machine: (after.busy - before.busy) / elapsed, of: new Map(used) };
  };
}
