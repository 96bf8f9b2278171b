/** Sets of processors as Linux writes them: "0-3,8". Pure; numbers ascend. Source: cpuset(7), formats for masks */

export function parseCpuSet(text: string): number[] {
  const cpus = new Set<number>();
  for (const part of text.trim() === "" ? [] : text.trim().split(",")) {
    const [, from, to = from] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part) ?? [];
    if (from === undefined || Number(to) < Number(from)) throw new Error(`${JSON.stringify(text)} is no set of CPUs`);
    for (let cpu = Number(from); cpu <= Number(to); cpu++) cpus.add(cpu);
  }
  return [...cpus].toSorted((a, b) => a - b);
}

export function formatCpuSet(cpus: Iterable<number>): string {
  const ranges: [number, number][] = [];
  for (const cpu of [...new Set(cpus)].toSorted((a, b) => a - b)) {
    const last = ranges.at(-1);
    if (last !== undefined && cpu === last[1] + 1) last[1] = cpu;
    else ranges.push([cpu, cpu]);
  }
  return ranges.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(",");
}
