/** Which processors the machine has and what they share, from /sys. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseCpuSet } from "../core/cpu-set.ts";
import type { Cpu } from "./take-cpus.ts";

export async function readCpuTopology(root = "/sys/devices/system"): Promise<Cpu[]> {
  const read = async (...path: string[]) => (await readFile(join(root, ...path), "utf8")).trim();
  const nodes = new Map<number, number>();
  // A kernel without NUMA has no such folder: everything is near to everything.
  for (const name of await readdir(join(root, "node")).catch(() => [] as string[])) {
    const [, number] = /^node(\d+)$/.exec(name) ?? [];
    if (number === undefined) continue;
    for (const cpu of parseCpuSet(await read("node", name, "cpulist"))) nodes.set(cpu, Number(number));
  }
  const cpus: Cpu[] = [];
  for (const id of parseCpuSet(await read("cpu", "online"))) {
    const topology = join("cpu", `cpu${id}`, "topology");
    // Numbers of cores repeat in each socket: a core is known by its first thread.
    const [core = id] = parseCpuSet(await read(topology, "thread_siblings_list"));
    const socket = Number(await read(topology, "physical_package_id"));
    cpus.push({ id, core, socket, node: nodes.get(id) ?? 0 });
  }
  return cpus;
}
