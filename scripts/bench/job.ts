/** What a load process is told to do, and what it answers. */
import type { HttpTarget } from "./http-connection.ts";

export type LoadJob = {
  /** Requests under way at any time. */
  readonly inFlight: number;
  /** Runs before the measurement, so that code is compiled and connections stand. */
  readonly warmUpMs: number;
  readonly measureMs: number;
} & (HttpJob | EtcdJob);

/**
 * Requests over `inFlight` TLS connections: the paths in turn, POSTs of one template under ever new names, or PUTs, guarded by the
 * version of the answer before, of one object per connection.
 */
export type HttpJob = { readonly target: "http"; readonly server: HttpTarget; readonly expectStatus: number } & (
  | { readonly method: "GET"; readonly paths: readonly string[] }
  | { readonly method: "POST"; readonly path: string; readonly template: string; readonly namePrefix: string }
  | { readonly method: "PUT"; readonly objects: readonly { readonly path: string; readonly template: string }[] }
);

/** Through the API server's own etcd adapter, over one TLS connection as there. */
export interface EtcdJob {
  readonly target: "etcd";
  readonly endpoint: string;
  /** Absent: without TLS. */
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  /**
   * "create" is a transaction guarded by the key's absence, "update" one guarded by the version of the lane's own key; "get" reads what
   * a create job with this prefix wrote.
   */
  readonly operation: "create" | "update" | "get";
  readonly keyPrefix: string;
  readonly valueBytes: number;
  /** Keys that "get" goes through; made first. */
  readonly keyCount: number;
}

/** Stands for the name in `template`. */
export const NAME_MARK = "@NAME@";
/** Stand for the version that a PUT is guarded by, and for something that is new in every PUT. */
export const VERSION_MARK = "@VERSION@";
export const COUNT_MARK = "@COUNT@";

export interface LoadResult {
  readonly perSecond: number;
  readonly bytesPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Answers other than the expected; not counted in perSecond. */
  readonly failures: number;
  readonly firstFailure: string;
  /** Processor cores that the load process itself used. */
  readonly clientCores: number;
}

/** From the load process: it goes through "measuring" once, then says the result or what went wrong. */
export type LoadMessage =
  | { readonly kind: "measuring" }
  | { readonly kind: "result"; readonly result: LoadResult }
  | { readonly kind: "failed"; readonly message: string };
