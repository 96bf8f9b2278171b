/**
 * Picks processors for one container so that it shares as little hardware with others as possible: whole NUMA nodes and
 * sockets first, then whole cores, then threads, each from where the least is left. Pure.
 * Source: pkg/kubelet/cm/cpumanager/cpu_assignment.go, takeByTopologyNUMAPacked
 */

export interface Cpu {
  readonly id: number;
  readonly core: number;
  readonly socket: number;
  readonly node: number;
}

type Level = "core" | "socket" | "node";

const idsOf = (cpus: readonly Cpu[]) => cpus.map((cpu) => cpu.id);

/** Groups of what is free at a level: the smallest first, then the lowest. */
function groups(free: readonly Cpu[], level: Level): Cpu[][] {
  return [...Map.groupBy(free, (cpu) => cpu[level])]
    .toSorted(([a, inA], [b, inB]) => inA.length - inB.length || a - b)
    .map(([, cpus]) => cpus);
}

/** As many as `count` processors out of `available`; undefined when there are not so many. */
export function takeCpus(
  topology: readonly Cpu[],
  available: ReadonlySet<number>,
  count: number,
): number[] | undefined {
  const taken = new Set<number>();
  const free = () => topology.filter((cpu) => available.has(cpu.id) && !taken.has(cpu.id));
  const left = () => count - taken.size;
  const sizeOf = ([first]: readonly Cpu[], level: Level) =>
    topology.filter((cpu) => cpu[level] === first?.[level]).length;
  const takeWhole = (candidates: readonly Cpu[][], level: Level) => {
    for (const cpus of candidates) {
      if (cpus.length <= left() && cpus.length === sizeOf(cpus, level)) for (const id of idsOf(cpus)) taken.add(id);
    }
  };
  if (free().length < count) return undefined;
  const sockets = new Set(topology.map((cpu) => cpu.socket)).size;
  const nodes = new Set(topology.map((cpu) => cpu.node)).size;
  // The larger of the two kinds of unit first.
  const [large, small] = nodes < sockets ? (["node", "socket"] as const) : (["socket", "node"] as const);
  takeWhole(groups(free(), large), large);
  takeWhole(groups(free(), small), small);
  const inOrder = () =>
    groups(free(), large).flatMap((outer) => groups(outer, small).flatMap((inner) => groups(inner, "core")));
  takeWhole(inOrder(), "core");
  for (const id of idsOf(inOrder().flat()).slice(0, left())) taken.add(id);
  return [...taken].toSorted((a, b) => a - b);
}
