/** Counters of the interfaces of a network namespace, as /proc/PID/net/dev has them. Reads only. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";

export interface InterfaceUsage {
  readonly name: string;
  readonly rxBytes: number;
  readonly rxPackets: number;
  readonly rxErrors: number;
  readonly rxDropped: number;
  readonly txBytes: number;
  readonly txPackets: number;
  readonly txErrors: number;
  readonly txDropped: number;
}

/** The loopback and what pods' own bridges make say nothing about traffic. Source: cadvisor's ignored devices */
const IGNORED = /^(lo|veth.*|docker.*|nerdctl.*|cni.*|flannel.*)$/;

/** Source: proc_pid_net(5), /proc/net/dev: eight columns received, eight sent. */
export function parseNetDev(text: string): InterfaceUsage[] {
  const result: InterfaceUsage[] = [];
  for (const line of text.split("\n")) {
    const match = /^\s*([^\s:]+):\s*(.*)$/.exec(line);
    if (match === null) continue;
    const [, name = "", rest = ""] = match;
    const counts = rest.trim().split(/\s+/).map(Number);
    if (counts.length < 16 || IGNORED.test(name)) continue;
    const [rxBytes = 0, rxPackets = 0, rxErrors = 0, rxDropped = 0] = counts;
    const [txBytes = 0, txPackets = 0, txErrors = 0, txDropped = 0] = counts.slice(8);
    result.push({ name, rxBytes, rxPackets, rxErrors, rxDropped, txBytes, txPackets, txErrors, txDropped });
  }
  return result;
}

/** Of the process's namespace, or of ours. Empty when the process is gone. */
export async function readNetworkUsage(pid: number | "self"): Promise<InterfaceUsage[]> {
  const text = await readFile(`/proc/${pid}/net/dev`, "utf8").catch(() => "");
  return parseNetDev(text);
}

/** A process of a cgroup, whichever; undefined when none is left. */
export async function processOf(version: 1 | 2, group: string): Promise<number | undefined> {
  const controller = version === 2 ? "" : "memory";
  const text = await readFile(join("/sys/fs/cgroup", controller, group, "cgroup.procs"), "utf8").catch(() => "");
  const pid = Number(text.split("\n")[0]);
  return pid > 0 ? pid : undefined;
}
