/**
 * The signals that eviction watches: their names, what they say of the node, which resource is short when they do. Pure.
 * Source: kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction#eviction-signals
 */

export const SIGNALS = [
  "memory.available",
  "allocatableMemory.available",
  "nodefs.available",
  "nodefs.inodesFree",
  "imagefs.available",
  "imagefs.inodesFree",
  "containerfs.available",
  "containerfs.inodesFree",
  "pid.available",
] as const;

export type Signal = (typeof SIGNALS)[number];

export type PressureCondition = "MemoryPressure" | "DiskPressure" | "PIDPressure";

/** As messages name it: inodes and pids are no resources that pods can ask for. */
export type ScarceResource = "memory" | "ephemeral-storage" | "inodes" | "pids";

interface Meaning {
  readonly condition: PressureCondition;
  readonly resource: ScarceResource;
}

const MEMORY: Meaning = { condition: "MemoryPressure", resource: "memory" };
const DISK: Meaning = { condition: "DiskPressure", resource: "ephemeral-storage" };
const INODES: Meaning = { condition: "DiskPressure", resource: "inodes" };

export const MEANING: Readonly<Record<Signal, Meaning>> = {
  "memory.available": MEMORY,
  "allocatableMemory.available": MEMORY,
  "nodefs.available": DISK,
  "nodefs.inodesFree": INODES,
  "imagefs.available": DISK,
  "imagefs.inodesFree": INODES,
  "containerfs.available": DISK,
  "containerfs.inodesFree": INODES,
  "pid.available": { condition: "PIDPressure", resource: "pids" },
};

/** What was measured of one signal, in bytes, inodes or processes. */
export interface Observation {
  readonly available: number;
  readonly capacity: number;
  /** When, epoch milliseconds; a measurement that is no newer than the one before evicts nobody twice. */
  readonly at: number;
}

/** A signal that could not be measured is absent, and its thresholds are not met. */
export type Observations = Readonly<Partial<Record<Signal, Observation>>>;

export function isSignal(text: string): text is Signal {
  return (SIGNALS as readonly string[]).includes(text);
}
