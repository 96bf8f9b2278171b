/**
 * Objects of one resource, straight from the key-value store: no memory of its own, every read linearizable unless a version is asked
 * for. It owns the meaning of guarded writes, list pages and continue tokens; the watch cache stands in front of it for most reads.
 */

import type { ObjectKey } from "@knarr/apimachinery/resource.ts";
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import {
  encodeContinue,
  expiredContinue,
  type ListVersion,
  listVersionOf,
  parseResourceVersion,
  tooLargeResourceVersion,
} from "./continue-token.ts";
import { DEFAULT_ROOT, folderOf } from "./key-layout.ts";
import { type KeyValue, type KeyValueStore, prefixEnd, type RangeResult, type WriteOptions } from "./key-value.ts";
import type { LeasePool } from "./lease-pool.ts";
import { keyRangeOf, ObjectRecord, type RecordFormat, storeKeyOf } from "./record.ts";
import { isStorageError, toStatusError } from "./storage-error.ts";
import { watchStore } from "./store-watch.ts";
import type {
  GetOptions,
  ListOptions,
  ListPage,
  ObjectWatch,
  ResourceStorage,
  ResourceStorageConfig,
  StoredObject,
  UpdateDecision,
  UpdateOptions,
  UpdateResult,
  WatchOptions,
} from "./types.ts";

/** Keys read from etcd in one request: bounds what a long list holds at once. */
const CHUNK = 500;

export interface StoreTools {
  readonly kv: KeyValueStore;
  readonly leases: LeasePool;
  /** Default "/registry". */
  readonly root?: string;
}

export class Store implements ResourceStorage {
  readonly config: ResourceStorageConfig;
  readonly format: RecordFormat;
  readonly #kv: KeyValueStore;
  readonly #leases: LeasePool;

  constructor(config: ResourceStorageConfig, tools: StoreTools) {
    this.config = config;
    this.format = {
      prefix: `${tools.root ?? DEFAULT_ROOT}/${config.folder ?? folderOf(config.ref)}/`,
      namespaced: config.ref.namespaced,
      ...(config.fieldsOf === undefined ? {} : { fieldsOf: config.fieldsOf }),
    };
    this.#kv = tools.kv;
    this.#leases = tools.leases;
  }

  async get(key: ObjectKey, options: GetOptions = {}): Promise<ObjectRecord> {
    const wanted = parseResourceVersion(options.resourceVersion) ?? 0;
    const { record, revision } = await reading(() => this.#read(key, options.signal));
    if (wanted > revision) throw tooLargeResourceVersion(wanted, revision);
    if (record === undefined) throw statusErrors.notFound(this.config.ref, key.name);
    return record;
  }

  async list(options: ListOptions): Promise<ListPage> {
    const range = keyRangeOf(this.format, options);
    const version = listVersionOf(range.prefix, options);
    return await reading(() => this.#list(range, version, options));
  }

  watch(options: WatchOptions): Promise<ObjectWatch> {
    return watchStore({ store: this, kv: this.#kv, options });
  }

  async count(signal?: AbortSignal): Promise<number> {
    const { prefix } = this.format;
    const request = {
      start: prefix,
      end: prefixEnd(prefix),
      countOnly: true,
      ...(signal === undefined ? {} : { signal }),
    };
    return (await reading(() => this.#kv.range(request))).count;
  }

  async create(
    key: ObjectKey,
    bytes: Buffer,
    options: { readonly ttlSeconds?: number; readonly signal?: AbortSignal } = {},
  ): Promise<ObjectRecord> {
    const storeKey = storeKeyOf(this.format, key);
    const revision = await this.#put(storeKey, bytes, 0, options);
    if (typeof revision !== "number") throw statusErrors.alreadyExists(this.config.ref, key.name);
    return new ObjectRecord(this.format, { storeKey, revision }, bytes, "ADDED");
  }

  async update(
    key: ObjectKey,
    decide: (current: StoredObject | undefined) => Promise<UpdateDecision> | UpdateDecision,
    options: UpdateOptions = {},
  ): Promise<UpdateResult> {
    const { signal } = options;
    let isSuggestion = options.suggestion instanceof ObjectRecord;
    let current = isSuggestion
      ? (options.suggestion as ObjectRecord)
      : (await reading(() => this.#read(key, signal))).record;
    for (;;) {
      signal?.throwIfAborted();
      const attempt = await this.#attempt(key, current, decide, options);
      if (attempt.kind === "done") return attempt.result;
      if (attempt.kind === "collided") {
        current = attempt.current;
        isSuggestion = false;
        continue;
      }
      // Refused, or nothing to do. That is the truth only about the newest object, and a suggestion may be an old one.
      if (isSuggestion) {
        const fresh = (await reading(() => this.#read(key, signal))).record;
        isSuggestion = false;
        if (fresh?.revision !== current?.revision) {
          current = fresh;
          continue;
        }
      }
      if (attempt.kind === "refused") throw attempt.error;
      return { outcome: "unchanged", object: attempt.current };
    }
  }

  async delete(
    key: ObjectKey,
    check: (current: StoredObject) => Promise<void> | void = () => {},
    options: { readonly suggestion?: StoredObject; readonly signal?: AbortSignal } = {},
  ): Promise<StoredObject> {
    const remove = async (current: StoredObject | undefined): Promise<UpdateDecision> => {
      if (current !== undefined) await check(current);
      return { kind: "delete" };
    };
    return (await this.update(key, remove, options)).object;
  }

  recordOf(item: KeyValue): ObjectRecord {
    return new ObjectRecord(this.format, { storeKey: item.key, revision: item.modRevision }, item.value, "ADDED");
  }

  /** Throws when a value below the prefix is known to be unreadable (encrypted with a key that is not here). */
  checkReadable(prefix: string): void {
    const why = this.#kv.unreadable?.(prefix);
    if (why !== undefined) throw statusErrors.internal(why);
  }

  /** Reads every object as of one revision (0: now), a chunk at a time. Throws StorageError. */
  async *chunks(revision: number, signal?: AbortSignal): AsyncGenerator<RangeResult, void, undefined> {
    const { prefix } = this.format;
    let start = prefix;
    let at = revision;
    for (;;) {
      const chunk = await this.#kv.range({
        start,
        end: prefixEnd(prefix),
        limit: CHUNK,
        ...(at === 0 ? {} : { revision: at }),
        ...(signal === undefined ? {} : { signal }),
      });
      if (at === 0) at = chunk.revision;
      yield chunk;
      const last = chunk.items.at(-1);
      if (!chunk.more || last === undefined) return;
      start = `${last.key}\0`;
    }
  }

  async #read(key: ObjectKey, signal?: AbortSignal): Promise<{ record: ObjectRecord | undefined; revision: number }> {
    const { item, revision } = await this.#kv.get(storeKeyOf(this.format, key), signal === undefined ? {} : { signal });
    return { record: item === undefined ? undefined : this.recordOf(item), revision };
  }

  async #list(
    range: { readonly prefix: string; readonly single: boolean },
    version: ListVersion,
    options: ListOptions,
  ): Promise<ListPage> {
    const { limit = 0, signal } = options;
    const point = version.kind === "continue" ? version.point : undefined;
    let revision =
      version.kind === "exact" ? version.revision : point !== undefined && point.revision > 0 ? point.revision : 0;
    let start = point?.startKey ?? range.prefix;
    const end = range.single ? `${range.prefix}\0` : prefixEnd(range.prefix);
    const items: ObjectRecord[] = [];
    const isFiltered =
      options.labels !== undefined || options.fields !== undefined || (options.name !== undefined && !range.single);
    for (;;) {
      const wanted = limit > 0 && !isFiltered ? Math.min(CHUNK, limit - items.length) : CHUNK;
      const chunk = await this.#range({ start, end, limit: wanted, revision, signal }, range.prefix, point);
      if (revision === 0) revision = chunk.revision;
      this.checkReadable(range.prefix);
      if (version.kind === "notOlderThan" && chunk.revision < version.revision) {
        throw tooLargeResourceVersion(version.revision, chunk.revision);
      }
      for (const [index, item] of chunk.items.entries()) {
        const record = this.recordOf(item);
        if (!record.matches(options)) continue;
        items.push(record);
        if (limit > 0 && items.length === limit && (chunk.more || index < chunk.items.length - 1)) {
          return {
            resourceVersion: String(revision),
            items,
            continueToken: encodeContinue(range.prefix, item.key, revision),
            ...(isFiltered ? {} : { remainingItemCount: chunk.count - index - 1 }),
          };
        }
      }
      const last = chunk.items.at(-1);
      if (!chunk.more || last === undefined) return { resourceVersion: String(revision), items };
      start = `${last.key}\0`;
    }
  }

  async #range(
    request: { start: string; end: string; limit: number; revision: number; signal: AbortSignal | undefined },
    prefix: string,
    point: { readonly startKey: string; readonly revision: number } | undefined,
  ): Promise<RangeResult> {
    const { start, end, limit, revision, signal } = request;
    try {
      return await this.#kv.range({
        start,
        end,
        limit,
        ...(revision === 0 ? {} : { revision }),
        ...(signal === undefined ? {} : { signal }),
      });
    } catch (error) {
      if (point !== undefined && isStorageError(error, "compacted")) throw expiredContinue(prefix, point, error);
      if (isStorageError(error, "future-revision")) {
        throw tooLargeResourceVersion(revision, await this.#kv.currentRevision(signal));
      }
      throw error;
    }
  }

  async #attempt(
    key: ObjectKey,
    current: ObjectRecord | undefined,
    decide: (current: StoredObject | undefined) => Promise<UpdateDecision> | UpdateDecision,
    options: UpdateOptions,
  ): Promise<Attempt> {
    const { ref } = this.config;
    if (current === undefined && options.createIfMissing !== true) throw statusErrors.notFound(ref, key.name);
    let decision: UpdateDecision;
    try {
      decision = await decide(current);
    } catch (error) {
      return { kind: "refused", error };
    }
    const storeKey = storeKeyOf(this.format, key);
    const limits = options.signal === undefined ? {} : { signal: options.signal };
    if (decision.kind === "delete") {
      if (current === undefined) throw statusErrors.notFound(ref, key.name);
      const removed = await writing(() => this.#kv.remove(storeKey, current.revision, limits));
      if (!removed.ok) return collided(removed.current === undefined ? undefined : this.recordOf(removed.current));
      return done("deleted", current.at(removed.revision, "DELETED"));
    }
    // The same content is written anew when it lies there in an old form.
    const isSame = decision.kind === "write" && current?.holds(decision.bytes) === true;
    if (decision.kind === "keep" || (isSame && this.#kv.isStale?.(storeKey) !== true)) {
      if (current === undefined) throw statusErrors.notFound(ref, key.name);
      return { kind: "unchanged", current };
    }
    const ttl = decision.ttlSeconds === undefined ? {} : { ttlSeconds: decision.ttlSeconds };
    const written = await this.#put(storeKey, decision.bytes, current?.revision ?? 0, { ...limits, ...ttl });
    if (typeof written !== "number") {
      // A create that lost its race learns only that something is there: read it.
      const known =
        current === undefined ? (await reading(() => this.#read(key, options.signal))).record : written.record;
      return collided(known);
    }
    const type = current === undefined ? "ADDED" : "MODIFIED";
    const record = new ObjectRecord(this.format, { storeKey, revision: written }, decision.bytes, type);
    return done(current === undefined ? "created" : "updated", record);
  }

  /** Writes under the guard (0: must not exist). The revision, or what stood in the way. */
  async #put(
    storeKey: string,
    bytes: Buffer,
    expectedRevision: number,
    options: { readonly ttlSeconds?: number; readonly signal?: AbortSignal },
  ): Promise<number | { readonly record: ObjectRecord | undefined }> {
    const ttlSeconds = options.ttlSeconds ?? this.config.ttlSeconds ?? 0;
    const limits = options.signal === undefined ? {} : { signal: options.signal };
    const write = async () => {
      const lease = ttlSeconds > 0 ? { leaseId: await this.#leases.leaseFor(ttlSeconds) } : {};
      const request: WriteOptions = { ...limits, ...lease };
      return expectedRevision === 0
        ? await this.#kv.create(storeKey, bytes, request)
        : await this.#kv.replace(storeKey, bytes, expectedRevision, request);
    };
    const result = await writing(async () => {
      try {
        return await write();
      } catch (error) {
        // etcd restarted or restored without the shared lease: nothing was written, a new lease will do.
        if (!isStorageError(error, "lease-not-found")) throw error;
        this.#leases.forget(ttlSeconds);
        return await write();
      }
    });
    if (result.ok) return result.revision;
    const isKnown = expectedRevision > 0 && result.current !== undefined;
    return { record: isKnown ? this.recordOf(result.current as KeyValue) : undefined };
  }
}

type Attempt =
  | { readonly kind: "done"; readonly result: UpdateResult }
  | { readonly kind: "collided"; readonly current: ObjectRecord | undefined }
  | { readonly kind: "refused"; readonly error: unknown }
  | { readonly kind: "unchanged"; readonly current: ObjectRecord };

function done(outcome: UpdateResult["outcome"], object: ObjectRecord): Attempt {
  return { kind: "done", result: { outcome, object } };
}

function collided(current: ObjectRecord | undefined): Attempt {
  return { kind: "collided", current };
}

async function reading<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw toStatusError(error, "read");
  }
}

async function writing<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw toStatusError(error, "write");
  }
}
