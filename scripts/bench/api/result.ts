/** What a run of the API benchmark found; the content of --json files. */
import type { LoadFigures } from "../result.ts";
import type { H2loadResult } from "./h2load.ts";
import type { WatchStep } from "./watch-job.ts";

export interface ServerLoad extends H2loadResult {
  readonly serverCores: number;
}
export interface ReadFigures {
  readonly what: "get" | "list";
  readonly protocol: "http/1.1" | "http/2";
  readonly inFlight: number;
  readonly api: ServerLoad;
  readonly bare: ServerLoad;
  /** Largest resident size of the API server meanwhile. */
  readonly peakBytes: number;
}
export interface WriteFigures {
  readonly what: "create" | "update";
  readonly api: LoadFigures;
  readonly etcd: LoadFigures;
}
/** Resident bytes of the API server at one moment each. */
export interface MemoryFigures {
  readonly atStart: number;
  readonly afterPods: number;
  readonly afterReads: number;
  readonly afterWrites: number;
  readonly afterWatch: number;
  readonly afterRestart: number;
}
export interface ApiBenchResult {
  readonly pods: number;
  readonly podBytes: number;
  readonly reads: readonly ReadFigures[];
  readonly writes: readonly WriteFigures[];
  readonly watch: readonly WatchStep[];
  readonly memory: MemoryFigures;
  readonly idleCores: number;
  readonly readySeconds: number;
}
