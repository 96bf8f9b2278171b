/** What a run of the benchmark found; the content of --json files. */
import type { LoadResult } from "./job.ts";

export interface UpTimes {
  /** From starting `knarr up` to its end: every node Ready. */
  readonly totalSeconds: number;
  readonly phases: readonly { readonly name: string; readonly seconds: number }[];
}
export interface WebTimes {
  /** Until `knarr apply` returned. */
  readonly applySeconds: number;
  /** Until the Deployment had all its replicas available. */
  readonly availableSeconds: number;
}
export interface LoadFigures extends LoadResult {
  readonly name: string;
  /** Processor cores used while measuring. */
  readonly apiserverCores: number;
  readonly etcdCores: number;
  readonly bareServerCores: number;
  /** Everything that is neither the cluster's components nor the benchmark: a disturbed run shows here. */
  readonly foreignCores: number;
}
export interface ComponentFigures {
  readonly name: string;
  readonly afterUpBytes: number;
  readonly afterWebBytes: number;
  readonly afterLoadBytes: number;
  readonly idleCores: number;
}
export interface BenchResult {
  readonly up: UpTimes;
  readonly web: WebTimes;
  readonly components: readonly ComponentFigures[];
  /** As LoadFigures.foreignCores, in the seconds in which idle use was measured. */
  readonly idleForeignCores: number;
  readonly podBytes: number;
  readonly listPods: number;
  readonly listBytes: number;
  readonly loads: readonly LoadFigures[];
}

/** The same shape with the median of every number; texts of the first. All must have the same shape. */
export function medianOf<T>(results: readonly T[]): T {
  const [first] = results;
  if (typeof first === "number") {
    const sorted = (results as readonly number[]).toSorted((a, b) => a - b);
    const middle = sorted.length >> 1;
    const upper = sorted[middle] as number;
    return (sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] as number) + upper) / 2) as T;
  }
  if (Array.isArray(first)) {
    return first.map((_, index) => medianOf((results as readonly unknown[][]).map((r) => r[index]))) as T;
  }
  if (typeof first !== "object" || first === null) return first as T;
  const keys = Object.keys(first) as (keyof T)[];
  return Object.fromEntries(keys.map((key) => [key, medianOf(results.map((result) => result[key]))])) as T;
}
