/**
 * The seam to etcd: what the API server needs of an ordered, versioned key-value store, split by capability.
 *
 * Owns the vocabulary only. Keys are strings ("/registry/pods/default/web"), values are bytes. A `revision` is the store's global
 * counter of writes; it fits a JavaScript number (2^53 writes are 285,000 years at 1,000 a second).
 * Nothing here knows Kubernetes objects; nothing but the adapter in etcd-connection.ts and etcd/ knows gRPC.
 */

export interface KeyValue {
  readonly key: string;
  /** Valid until the caller keeps it for long: it may be a view on the whole response. Copy what you cache. */
  readonly value: Buffer;
  /** Revision of the last write of this key. */
  readonly modRevision: number;
  readonly createRevision: number;
  /** Lease the key hangs on; "0" for none. */
  readonly leaseId: string;
}

export interface RangeRequest {
  /** First key, inclusive. */
  readonly start: string;
  /** First key beyond the range; `prefixEnd(prefix)` for all keys with a prefix. */
  readonly end: string;
  /** At most this many keys; 0 or absent: all. */
  readonly limit?: number;
  /** Read as of this revision; absent: now, linearizable. */
  readonly revision?: number;
  readonly keysOnly?: boolean;
  readonly countOnly?: boolean;
  readonly signal?: AbortSignal;
}

export interface RangeResult {
  readonly items: readonly KeyValue[];
  /** Keys in the whole range at the revision read, whatever the limit. */
  readonly count: number;
  readonly more: boolean;
  /** The store's revision when it answered (not the revision asked for). */
  readonly revision: number;
}

/** Reads. Every method throws StorageError. */
export interface KeyValueReader {
  get(
    key: string,
    options?: { readonly revision?: number; readonly signal?: AbortSignal },
  ): Promise<{ readonly item: KeyValue | undefined; readonly revision: number }>;
  range(request: RangeRequest): Promise<RangeResult>;
  /** The store's revision now, through a quorum: any write acknowledged before the call is at or below it. */
  currentRevision(signal?: AbortSignal): Promise<number>;
}

/** What a guarded write came to. `current` is what stood in the way; undefined when the key does not exist. */
export type WriteResult =
  | { readonly ok: true; readonly revision: number }
  | { readonly ok: false; readonly current: KeyValue | undefined };

/** Guarded writes: each is one atomic transaction and never retried inside. Every method throws StorageError. */
export interface KeyValueWriter {
  /** Writes the key if it does not exist. */
  create(key: string, value: Buffer, options?: WriteOptions): Promise<WriteResult>;
  /** Overwrites the key if its last write has exactly this revision. */
  replace(key: string, value: Buffer, expectedRevision: number, options?: WriteOptions): Promise<WriteResult>;
  /** Removes the key if its last write has exactly this revision; `revision` is the deletion's own. */
  remove(key: string, expectedRevision: number, options?: { readonly signal?: AbortSignal }): Promise<WriteResult>;
}

export interface WriteOptions {
  readonly leaseId?: string;
  readonly signal?: AbortSignal;
}

/** Time to live: keys on a lease vanish, with one deletion event each, when it runs out. */
export interface LeaseGranter {
  grantLease(ttlSeconds: number, signal?: AbortSignal): Promise<string>;
}

/** History: forget what lies before a revision. Reads and watches below it then fail with code "compacted". */
export interface KeyValueCompactor {
  compact(revision: number, signal?: AbortSignal): Promise<void>;
}

export interface KeyValueEvent {
  readonly type: "put" | "delete";
  readonly key: string;
  /** Empty for a deletion. */
  readonly value: Buffer;
  /** Revision of this event: the write's, or the deletion's own. */
  readonly revision: number;
  /** A put that made the key. */
  readonly isCreate: boolean;
  /** The pair before the event, if asked for and not compacted away. */
  readonly previous: KeyValue | undefined;
}

/**
 * What a watch has to say. `events` holds one or more whole revisions, in order; after any batch every event of the range up to and
 * including `revision` has been handed out.
 */
export interface KeyValueBatch {
  readonly revision: number;
  /** Empty for a mere report of progress. */
  readonly events: readonly KeyValueEvent[];
}

export interface WatchRequest {
  readonly start: string;
  readonly end: string;
  /** The first revision to report. */
  readonly fromRevision: number;
  /** Fill `previous`. */
  readonly withPrevious?: boolean;
  readonly signal: AbortSignal;
}

/**
 * A watch that looks after itself: it survives the loss of its connection, of etcd and half-open links, and never skips, repeats or
 * reorders an event. Iteration ends when the signal aborts and throws StorageError "compacted" when history it still needs is gone.
 */
export interface KeyValueWatch extends AsyncIterable<KeyValueBatch> {
  /** Asks for a batch that tells how far the watch has come, soon. Cheap; may be called often; a hint, so repeat it when in need. */
  requestProgress(): void;
}

export interface KeyValueWatcher {
  watch(request: WatchRequest): KeyValueWatch;
}

/** A store that changes values on their way (encryption) knows of single keys: */
export interface ValueKnowledge {
  /** Whether the value should be written anew, even with the same content. */
  isStale?(key: string): boolean;
  /** Why a value below the prefix, met by a range or a watch, cannot be read; undefined when all can. */
  unreadable?(prefix: string): string | undefined;
}

export interface KeyValueStore
  extends ValueKnowledge,
    KeyValueReader,
    KeyValueWriter,
    KeyValueWatcher,
    LeaseGranter,
    KeyValueCompactor {}

/** The first key after all keys that start with `prefix`. "/registry/pods/" -> "/registry/pods0". */
export function prefixEnd(prefix: string): string {
  const last = prefix.charCodeAt(prefix.length - 1);
  return prefix.slice(0, -1) + String.fromCharCode(last + 1);
}
