/**
 * A watch straight from the key-value store, for resources that are not cached (events) and as the yardstick of the cache's tests.
 * Every client costs etcd a watch of its own.
 */

import type { Status } from "@knarr/apimachinery/generated/meta-v1.ts";
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import { parseResourceVersion, tooLargeResourceVersion } from "./continue-token.ts";
import { EventQueue } from "./event-queue.ts";
import { type KeyValueStore, type KeyValueWatch, prefixEnd } from "./key-value.ts";
import { bookmarkOf, Change, errorEventOf, initialEventOf } from "./object-event.ts";
import { keyRangeOf, ObjectRecord } from "./record.ts";
import { isStorageError, StorageError } from "./storage-error.ts";
import type { Store } from "./store.ts";
import type { ObjectEvent, ObjectWatch, WatchOptions } from "./types.ts";

/** Between two bookmarks. Upstream: about a minute. */
const BOOKMARK_MS = 60_000;
/** A last bookmark comes this long before the request's end. */
const LAST_BOOKMARK_MS = 2_000;

interface StoreWatchRequest {
  readonly store: Store;
  readonly kv: KeyValueStore;
  readonly options: WatchOptions;
}

export async function watchStore(request: StoreWatchRequest): Promise<ObjectWatch> {
  const { store, kv, options } = request;
  const asked = parseResourceVersion(options.resourceVersion);
  const wantsState = options.sendInitialEvents ?? (asked === undefined || asked === 0);
  let initial: Iterable<ObjectEvent> = [];
  let from = asked ?? 0;
  if (wantsState) {
    const page = await store.list({ ...options, limit: 0 });
    from = Number(page.resourceVersion);
    const records = page.items as readonly ObjectRecord[];
    const endsWithBookmark = options.sendInitialEvents === true && options.allowBookmarks === true;
    initial = initialEvents(records, endsWithBookmark ? bookmarkOf(store.config.ref, from, true) : undefined);
  } else {
    const current = await kv.currentRevision(options.signal);
    if (from > current) return refused(tooLargeResourceVersion(from, current).status);
    if (from === 0) from = current;
  }
  const ended = new AbortController();
  const queue = new EventQueue({ initial, signal: options.signal, onClose: () => ended.abort() });
  if (queue.isOpen) void pump(request, queue, from, ended.signal);
  return queue;
}

/** A watch that consists of one ERROR event. */
export function refused(status: Status): ObjectWatch {
  const queue = new EventQueue({});
  queue.finish(errorEventOf(status));
  return queue;
}

function* initialEvents(records: readonly ObjectRecord[], end: ObjectEvent | undefined): Generator<ObjectEvent> {
  for (const record of records) yield initialEventOf(record);
  if (end !== undefined) yield end;
}

async function pump(request: StoreWatchRequest, queue: EventQueue, from: number, signal: AbortSignal): Promise<void> {
  const { store, kv, options } = request;
  const range = keyRangeOf(store.format, options);
  const watch = kv.watch({
    start: range.prefix,
    end: range.single ? `${range.prefix}\0` : prefixEnd(range.prefix),
    fromRevision: from + 1,
    withPrevious: true,
    signal,
  });
  const bookmarks = options.allowBookmarks === true ? startBookmarks(watch, options.deadlineMs) : undefined;
  try {
    for await (const batch of watch) {
      for (const event of batch.events) {
        const at = { storeKey: event.key, revision: event.revision };
        const current =
          event.type === "put"
            ? new ObjectRecord(store.format, at, event.value, event.isCreate ? "ADDED" : "MODIFIED")
            : undefined;
        if (event.previous === undefined && !event.isCreate) {
          throw new StorageError("compacted", "the state before an event has been compacted");
        }
        const previous = event.previous === undefined ? undefined : store.recordOf(event.previous);
        const seen = new Change(event.revision, current, previous).seenBy(options);
        if (seen !== undefined) queue.push(seen);
      }
      if (bookmarks?.isDue() === true) queue.push(bookmarkOf(store.config.ref, batch.revision, false));
    }
    queue.finish();
  } catch (error) {
    // The stream has begun, so its end is told inside it. Anything unnamed ends the same way: the client starts again.
    const status = isStorageError(error, "compacted")
      ? statusErrors.expired("The resourceVersion for the provided watch is too old.").status
      : statusErrors.internal("the watch failed", error).status;
    queue.finish(errorEventOf(status));
  } finally {
    bookmarks?.stop();
  }
}

function startBookmarks(watch: KeyValueWatch, deadlineMs: number | undefined) {
  let due = false;
  const ask = () => {
    due = true;
    watch.requestProgress();
  };
  const timer = setInterval(ask, BOOKMARK_MS);
  const lastInMs = (deadlineMs ?? 0) - Date.now() - LAST_BOOKMARK_MS;
  const last = lastInMs > 0 && lastInMs < BOOKMARK_MS * 24 * 60 ? setTimeout(ask, lastInMs) : undefined;
  return {
    isDue: () => {
      const was = due;
      due = false;
      return was;
    },
    stop: () => {
      clearInterval(timer);
      clearTimeout(last);
    },
  };
}
