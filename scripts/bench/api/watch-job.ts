/** What the watch load is told to do, and what it answers. */
import type { HttpTarget } from "../http-connection.ts";

export interface WatchJob {
  readonly server: HttpTarget;
  readonly watchers: number;
  /** With the version to begin at. */
  readonly watchPath: string;
  /** Objects that are patched in turn; each patch is an event for every watcher. */
  readonly objectPaths: readonly string[];
  /** Patches per second, one step after the other. */
  readonly rates: readonly number[];
  readonly stepMs: number;
}

export interface WatchStep {
  readonly writesPerSecond: number;
  readonly eventsPerSecond: number;
  readonly bytesPerSecond: number;
  /** From sending the patch to reading the event. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly clientCores: number;
}

export type WatchMessage =
  | { readonly kind: "open" }
  | { readonly kind: "step"; readonly step: WatchStep }
  | { readonly kind: "done"; readonly eventsMissing: number }
  | { readonly kind: "failed"; readonly message: string };
