/**
 * One WATCH request as a stream of events: one JSON document per line.
 * Source: api-concepts#efficient-detection-of-changes
 */
import type { ObjectMeta, Status } from "@knarr/apimachinery/generated/meta-v1.ts";
import { type ResourceRef, resourcePath } from "@knarr/apimachinery/resource.ts";
import { StatusError } from "@knarr/apimachinery/status-error.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import { decodeJson } from "./codec.ts";
import { ConnectionError } from "./connection-error.ts";
import { LineSplitter } from "./line-splitter.ts";
import type { Query, Transport } from "./transport.ts";

/** What a bookmark carries: a type and a version, nothing else. */
export interface BookmarkObject {
  apiVersion?: string | undefined;
  kind?: string | undefined;
  metadata: ObjectMeta;
}
export type WatchEvent<T> =
  | { readonly type: "ADDED" | "MODIFIED" | "DELETED"; readonly object: T }
  | { readonly type: "BOOKMARK"; readonly object: BookmarkObject };

export interface WatchOptions {
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  readonly resourceVersion?: string | undefined;
  readonly resourceVersionMatch?: "NotOlderThan" | undefined;
  readonly allowWatchBookmarks?: boolean | undefined;
  readonly sendInitialEvents?: boolean | undefined;
  readonly timeoutSeconds?: number | undefined;
  /** Asks for the objects' metadata alone; servers that can't do that send whole objects. */
  readonly metadataOnly?: boolean | undefined;
  /** Longest silence before the stream counts as dead (ConnectionError ETIMEDOUT); none when absent. */
  readonly idleTimeoutMs?: (() => number | undefined) | undefined;
  readonly signal: AbortSignal;
}

/** How long the server may take past its own timeoutSeconds before we hang up. */
const OVERTIME_MS = 30_000;
const HEADERS_TIMEOUT_MS = 60_000;

export async function* watchResource<T>(
  transport: Transport,
  clock: Clock,
  ref: ResourceRef<T>,
  options: WatchOptions,
): AsyncGenerator<WatchEvent<T>, void, undefined> {
  const { namespace, signal, idleTimeoutMs, metadataOnly, ...parameters } = options;
  const path = resourcePath(ref, namespace);
  const response = await transport.stream({
    method: "GET",
    path,
    query: { ...(parameters as Query), watch: true },
    headers: metadataOnly === true ? { accept: metadataAccept("PartialObjectMetadata") } : {},
    signal,
    timeoutMs: HEADERS_TIMEOUT_MS,
  });
  const hangUp = (why: string) => response.destroy(new ConnectionError(`WATCH ${path}: ${why}`, { code: "ETIMEDOUT" }));
  const guard = new SilenceGuard(clock, idleTimeoutMs, () => hangUp("silent for too long"));
  const cancelOvertime =
    options.timeoutSeconds === undefined
      ? () => {}
      : clock.setTimeout(() => hangUp("outlived its timeout"), options.timeoutSeconds * 1000 + OVERTIME_MS);
  const lines = new LineSplitter();
  try {
    guard.rearm();
    for await (const chunk of response) {
      guard.rearm();
      for (const line of lines.push(chunk as Buffer)) yield eventOf<T>(line, path);
    }
    if (lines.pendingBytes > 0) throw new ConnectionError(`WATCH ${path}: ended within an event`);
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    if (error instanceof StatusError || error instanceof ConnectionError) throw error;
    throw new ConnectionError(`WATCH ${path}: cut off`, { cause: error });
  } finally {
    guard.stop();
    cancelOvertime();
    response.destroy();
  }
}

/** The Accept header for metadata alone, or else the whole objects. Source: api-concepts#receiving-resources-as-tables */
export function metadataAccept(kind: "PartialObjectMetadata" | "PartialObjectMetadataList"): string {
  return `application/json;as=${kind};g=meta.k8s.io;v=v1,application/json`;
}

/** Throws StatusError for an ERROR event, ConnectionError for what is no event at all. */
function eventOf<T>(line: Buffer, path: string): WatchEvent<T> {
  let event: { type?: unknown; object?: unknown };
  try {
    event = decodeJson(line) as typeof event;
  } catch (cause) {
    throw new ConnectionError(`WATCH ${path}: not an event`, { cause });
  }
  switch (event.type) {
    case "ADDED":
    case "MODIFIED":
    case "DELETED":
    case "BOOKMARK":
      return event as WatchEvent<T>;
    case "ERROR":
      throw new StatusError(event.object as Status);
    default:
      throw new ConnectionError(`WATCH ${path}: event of unknown type ${JSON.stringify(event.type)}`);
  }
}

/** Calls `onSilence` when nothing came for the time that `limitMs` says; cheap to rearm on every chunk. */
class SilenceGuard {
  readonly #clock: Clock;
  readonly #limitMs: () => number | undefined;
  readonly #onSilence: () => void;
  #lastMs = 0;
  #cancel: (() => void) | undefined;

  constructor(clock: Clock, limitMs: (() => number | undefined) | undefined, onSilence: () => void) {
    this.#clock = clock;
    this.#limitMs = limitMs ?? (() => undefined);
    this.#onSilence = onSilence;
  }

  rearm(): void {
    this.#lastMs = this.#clock.monotonicMs();
    if (this.#cancel === undefined) this.#schedule();
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = () => {};
  }

  #schedule(): void {
    const limitMs = this.#limitMs();
    if (limitMs === undefined) return;
    const waitMs = this.#lastMs + limitMs - this.#clock.monotonicMs();
    if (waitMs <= 0) {
      this.#onSilence();
      return;
    }
    this.#cancel = this.#clock.setTimeout(() => {
      this.#cancel = undefined;
      this.#schedule();
    }, waitMs);
  }
}
