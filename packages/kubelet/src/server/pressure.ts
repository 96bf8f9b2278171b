/**
 * Pressure stall information: for how long tasks waited for a resource. Of cgroup v2 only; a kernel without it (or started
 * with psi=0) has no such files, and reports then leave it out. Source: kernel Documentation/accounting/psi.rst; KEP-4205
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";

export interface PressureData {
  /** Microseconds since the group began. */
  readonly total: number;
  /** Percent of the last 10, 60 and 300 seconds. */
  readonly avg10: number;
  readonly avg60: number;
  readonly avg300: number;
}

/** As stats/summary shows it: all tasks waited, some tasks waited. */
export interface Pressure {
  readonly full: PressureData;
  readonly some: PressureData;
}

export interface GroupPressure {
  readonly cpu: Pressure | undefined;
  readonly memory: Pressure | undefined;
  readonly io: Pressure | undefined;
}

const NONE: PressureData = { total: 0, avg10: 0, avg60: 0, avg300: 0 };

/** "some avg10=0.00 avg60=0.00 avg300=0.00 total=0" and the same of "full", which old kernels lack for processors. */
export function parsePressure(text: string): Pressure | undefined {
  const of = (kind: string): PressureData | undefined => {
    const line = text.split("\n").find((one) => one.startsWith(`${kind} `));
    if (line === undefined) return undefined;
    const values = new Map(line.split(" ").map((pair) => pair.split("=", 2) as [string, string | undefined]));
    const number = (name: string) => Number(values.get(name) ?? 0);
    return { total: number("total"), avg10: number("avg10"), avg60: number("avg60"), avg300: number("avg300") };
  };
  const some = of("some");
  return some === undefined ? undefined : { full: of("full") ?? NONE, some };
}

/** Of the group in `folder` of the unified hierarchy. */
export async function readPressure(folder: string): Promise<GroupPressure> {
  const [cpu, memory, io] = await Promise.all(
    ["cpu", "memory", "io"].map(async (resource) => {
      // Without the file, or with the accounting switched off (EOPNOTSUPP), nothing is known.
      const text = await readFile(join(folder, `${resource}.pressure`), "utf8").catch(() => "");
      return parsePressure(text);
    }),
  );
  return { cpu, memory, io };
}
