/**
 * What the processes of containers hold, read from /proc: how many there are, their open files, which of those are sockets,
 * and the limit of the first. Reads only; what ends meanwhile counts as nothing.
 * Source: google/cadvisor container/libcontainer/handler.go (processStatsFromProcs, processLimitsFile)
 */
import { readdir, readFile, readlink } from "node:fs/promises";
import { join } from "node:path";

export interface ProcessUsage {
  readonly processes: number;
  readonly files: number;
  readonly sockets: number;
  /** "max_open_files" of the first process; -1 for no limit. */
  readonly maxOpenFiles: number | undefined;
}

/** Processes in a group and below it; v1 has the same in every hierarchy. */
async function processesOf(folder: string): Promise<string[]> {
  const [text, entries] = await Promise.all([
    readFile(join(folder, "cgroup.procs"), "utf8").catch(() => ""),
    readdir(folder, { withFileTypes: true }).catch(() => []),
  ]);
  const own = text.split("\n").filter((pid) => pid !== "");
  const below = entries.filter((entry) => entry.isDirectory());
  const others = await Promise.all(below.map(({ name }) => processesOf(join(folder, name))));
  return [...own, ...others.flat()];
}

async function filesOf(pid: string): Promise<{ files: number; sockets: number }> {
  const folder = `/proc/${pid}/fd`;
  const names = await readdir(folder).catch(() => [] as string[]);
  let sockets = 0;
  // One after the other: a process may have a hundred thousand.
  for (const name of names) {
    if ((await readlink(join(folder, name)).catch(() => "")).startsWith("socket:")) sockets++;
  }
  return { files: names.length, sockets };
}

/** "Max open files            1024                 524288               files" -> 1024. Pure. */
export function softLimitOfFiles(limits: string): number | undefined {
  const soft = /^Max open files\s+(\S+)/m.exec(limits)?.[1];
  if (soft === undefined) return undefined;
  return soft === "unlimited" ? -1 : Number(soft);
}

/** `path` of the group below the hierarchies' roots. */
export async function readProcessUsage(version: 1 | 2, path: string): Promise<ProcessUsage> {
  const root = version === 2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/pids";
  const pids = await processesOf(join(root, path));
  let [files, sockets] = [0, 0];
  for (const pid of pids) {
    const one = await filesOf(pid);
    files += one.files;
    sockets += one.sockets;
  }
  const [first] = pids;
  const limits = first === undefined ? "" : await readFile(`/proc/${first}/limits`, "utf8").catch(() => "");
  return { processes: pids.length, files, sockets, maxOpenFiles: softLimitOfFiles(limits) };
}
