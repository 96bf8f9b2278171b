import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { type Cpu, takeCpus } from "./take-cpus.ts";

// Threads of a core are numbered as Linux does it: first every core's first, then every core's second.
interface Shape {
  readonly sockets?: number;
  readonly nodes?: number;
  readonly cores?: number;
  readonly threads?: number;
}

function machine({ sockets = 1, nodes = sockets, cores = 4, threads = 1 }: Shape): Cpu[] {
  return Array.from({ length: cores * threads }, (_, id) => {
    const core = id % cores;
    return { id, core, socket: Math.floor((core * sockets) / cores), node: Math.floor((core * nodes) / cores) };
  });
}

const SMALL = machine({ cores: 2 });
const SMT = machine({ cores: 4, threads: 2 });
const TWO = machine({ sockets: 2, cores: 4, threads: 2 });
const FOUR_NODES = machine({ sockets: 2, nodes: 4, cores: 8 });
const all = (topology: readonly Cpu[]) => topology.map((cpu) => cpu.id);

const TABLE: readonly {
  name: string;
  topology: Cpu[];
  available: number[];
  count: number;
  want: number[] | undefined;
}[] = [
  { name: "the lowest where all is equal", topology: SMALL, available: [0, 1], count: 1, want: [0] },
  { name: "nothing for nothing", topology: SMALL, available: [0], count: 0, want: [] },
  { name: "undefined when there are too few", topology: SMALL, available: [1], count: 2, want: undefined },
  { name: "both threads of a core", topology: SMT, available: all(SMT), count: 2, want: [0, 4] },
  { name: "a core and a thread of another", topology: SMT, available: all(SMT), count: 3, want: [0, 1, 4] },
  { name: "a thread of a core that is begun already", topology: SMT, available: [0, 1, 2, 4, 6], count: 1, want: [1] },
  { name: "a whole socket before cores of two", topology: TWO, available: all(TWO), count: 4, want: [0, 1, 4, 5] },
  { name: "the whole socket that is free", topology: TWO, available: [1, 2, 3, 5, 6, 7], count: 4, want: [2, 3, 6, 7] },
  { name: "the fuller socket's core", topology: TWO, available: [1, 2, 3, 5, 6, 7], count: 2, want: [1, 5] },
  { name: "a whole node of a socket", topology: FOUR_NODES, available: [1, 2, 3, 4, 5, 6, 7], count: 2, want: [2, 3] },
];

for (const { name, topology, available, count, want } of TABLE) {
  test(`takeCpus() takes ${name}`, () => {
    assert.deepEqual(takeCpus(topology, new Set(available), count), want);
  });
}

test("takeCpus() takes as many as asked for, each once and free, and breaks no core that it need not", () => {
  const shapes = fc.record({
    sockets: fc.constantFrom(1, 2),
    nodes: fc.constantFrom(1, 2, 4),
    cores: fc.constantFrom(4, 8),
    threads: fc.constantFrom(1, 2),
  });
  fc.assert(
    fc.property(shapes, fc.array(fc.boolean(), { minLength: 16, maxLength: 16 }), fc.nat(17), (shape, free, count) => {
      const topology = machine(shape);
      const available = new Set(all(topology).filter((id) => free[id]));
      const taken = takeCpus(topology, available, count);
      if (count > available.size) return assert.equal(taken, undefined);
      assert.equal(new Set(taken).size, count);
      assert.ok(taken?.every((id) => available.has(id)));
      const cores = Map.groupBy(topology, (cpu) => cpu.core);
      const broken = [...cores.values()].filter((cpus) => {
        const own = cpus.filter((cpu) => taken?.includes(cpu.id)).length;
        return own > 0 && own < cpus.length && cpus.every((cpu) => available.has(cpu.id));
      });
      assert.ok(broken.length <= 1);
    }),
    { verbose: 1 },
  );
});
