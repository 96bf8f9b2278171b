/**
 * Forgets history older than about five minutes, once per interval, however many API servers share the store: the one that moves
 * `compact_rev_key` compacts to the revision that it saw an interval ago.
 * Source: k8s.io/apiserver/pkg/storage/etcd3/compact.go (same key, same value: upstream's servers join in)
 */
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import type { KeyValueCompactor, KeyValueReader, KeyValueWriter } from "./key-value.ts";
import { isStorageError } from "./storage-error.ts";

const COMPACT_KEY = "compact_rev_key";

/** What one server remembers between two rounds. */
export interface CompactionState {
  /** Revision of COMPACT_KEY's last write that we know of; 0: none. */
  readonly keyRevision: number;
  /** The store's revision when we looked last; 0: never. */
  readonly seenRevision: number;
}

export const INITIAL_COMPACTION: CompactionState = { keyRevision: 0, seenRevision: 0 };

type Kv = KeyValueReader & KeyValueWriter & KeyValueCompactor;

/** One round. If another server moved the key since our last one, only takes note. Throws StorageError. */
export async function compactOnce(kv: Kv, state: CompactionState, signal?: AbortSignal): Promise<CompactionState> {
  const options = signal === undefined ? {} : { signal };
  const value = Buffer.from(String(state.seenRevision));
  const result =
    state.keyRevision === 0
      ? await kv.create(COMPACT_KEY, value, options)
      : await kv.replace(COMPACT_KEY, value, state.keyRevision, options);
  if (!result.ok) {
    return { keyRevision: result.current?.modRevision ?? 0, seenRevision: await kv.currentRevision(signal) };
  }
  if (state.seenRevision > 0) await kv.compact(state.seenRevision, signal);
  return { keyRevision: result.revision, seenRevision: result.revision };
}

/** Compacts every `intervalMs` (0: never) until the signal aborts. */
export async function runCompactor(options: {
  readonly kv: Kv;
  readonly clock: Clock;
  readonly log: Logger;
  readonly intervalMs: number;
  readonly signal: AbortSignal;
}): Promise<void> {
  const { kv, clock, log, intervalMs, signal } = options;
  if (intervalMs <= 0) return;
  let state = INITIAL_COMPACTION;
  while (!signal.aborted) {
    await clock.sleep(intervalMs, signal).catch(() => undefined); // Only an abort ends the sleep early.
    if (signal.aborted) return;
    try {
      const before = state.seenRevision;
      state = await compactOnce(kv, state, signal);
      log.debug({ compacted: before, revision: state.seenRevision }, "compaction round");
    } catch (error) {
      if (!isStorageError(error)) throw error;
      // "compacted" means that someone else was faster; an outage ends before the next round. Either way: look again then.
      log.warn({ err: error }, "compaction round failed");
    }
  }
}
