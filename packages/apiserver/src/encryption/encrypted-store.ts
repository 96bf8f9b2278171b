/**
 * A key-value store whose values are encrypted on their way to etcd and decrypted on their way back, by resource. Everything above
 * sees plain values; revisions, leases and history are the store's below.
 *
 * A value that cannot be decrypted never looks like an absent one: reads of it, and lists that contain it, fail and name it.
 */
import type { KindDescriptor } from "@knarr/api/descriptor.ts";
import type {
  KeyValue,
  KeyValueBatch,
  KeyValueEvent,
  KeyValueStore,
  KeyValueWatch,
  RangeRequest,
  RangeResult,
  WatchRequest,
  WriteOptions,
  WriteResult,
} from "../storage/key-value.ts";
import { StorageError } from "../storage/storage-error.ts";
import type { EncryptionConfig } from "./configuration.ts";
import { identity, TransformError, type Transformer } from "./transformer.ts";

export interface EncryptedStoreOptions {
  readonly config: EncryptionConfig;
  /** "/registry" */
  readonly root: string;
  readonly kinds: readonly KindDescriptor[];
}

export class EncryptedStore implements KeyValueStore {
  readonly #inner: KeyValueStore;
  readonly #root: string;
  readonly #folders: ReadonlyMap<string, { readonly group: string; readonly resource: string }>;
  #config: EncryptionConfig;
  /** By folder: "secrets", "apps/...". */
  readonly #transformers = new Map<string, Transformer>();
  /** Keys whose value was not written with the first key of the first provider. */
  readonly #stale = new Set<string>();
  readonly #unreadable = new Map<string, string>();

  constructor(inner: KeyValueStore, { config, root, kinds }: EncryptedStoreOptions) {
    this.#inner = inner;
    this.#config = config;
    this.#root = root;
    this.#folders = new Map(
      kinds.flatMap(({ ref, storage }) =>
        storage === undefined
          ? []
          : [[storage.prefix.replace(/^\/registry\//, ""), { group: ref.group, resource: ref.resource }]],
      ),
    );
  }

  /** Takes over a changed file. What is stored is read with the new keys from now on. */
  reconfigure(config: EncryptionConfig): void {
    this.#config = config;
    this.#transformers.clear();
    this.#stale.clear();
  }

  isStale(key: string): boolean {
    return this.#stale.has(key);
  }

  unreadable(prefix: string): string | undefined {
    if (this.#unreadable.size === 0) return undefined;
    for (const [key, why] of this.#unreadable) if (key.startsWith(prefix)) return why;
    return undefined;
  }

  async get(key: string, options?: { readonly revision?: number; readonly signal?: AbortSignal }) {
    const { item, revision } = await this.#inner.get(key, options);
    return { item: item === undefined ? undefined : this.#opened(item), revision };
  }

  async range(request: RangeRequest): Promise<RangeResult> {
    const result = await this.#inner.range(request);
    if (request.keysOnly === true || request.countOnly === true) return result;
    // What cannot be opened is passed on as it is, so that one value does not keep a whole cache from loading; `unreadable` tells.
    return { ...result, items: result.items.map((item) => this.#openedOrRaw(item)) };
  }

  currentRevision(signal?: AbortSignal): Promise<number> {
    return this.#inner.currentRevision(signal);
  }

  async create(key: string, value: Buffer, options?: WriteOptions): Promise<WriteResult> {
    return this.#written(key, await this.#inner.create(key, this.#sealed(key, value), options));
  }

  async replace(key: string, value: Buffer, expectedRevision: number, options?: WriteOptions): Promise<WriteResult> {
    return this.#written(key, await this.#inner.replace(key, this.#sealed(key, value), expectedRevision, options));
  }

  async remove(
    key: string,
    expectedRevision: number,
    options?: { readonly signal?: AbortSignal },
  ): Promise<WriteResult> {
    return this.#written(key, await this.#inner.remove(key, expectedRevision, options));
  }

  grantLease(ttlSeconds: number, signal?: AbortSignal): Promise<string> {
    return this.#inner.grantLease(ttlSeconds, signal);
  }

  compact(revision: number, signal?: AbortSignal): Promise<void> {
    return this.#inner.compact(revision, signal);
  }

  watch(request: WatchRequest): KeyValueWatch {
    const inner = this.#inner.watch(request);
    const open = (event: KeyValueEvent): KeyValueEvent => this.#openedEvent(event);
    return {
      requestProgress: () => inner.requestProgress(),
      async *[Symbol.asyncIterator](): AsyncGenerator<KeyValueBatch> {
        for await (const batch of inner) yield { ...batch, events: batch.events.map(open) };
      },
    };
  }

  #transformerOf(key: string): Transformer {
    const [first = "", second = "", third] = key.slice(this.#root.length + 1).split("/", 3);
    const long = `${first}/${second}`;
    // Core resources lie in a folder of their own, some in one below another; custom ones below their group.
    const folder = this.#folders.has(long) || (third !== undefined && first.includes(".")) ? long : first;
    const known = this.#transformers.get(folder);
    if (known !== undefined) return known;
    const of = this.#folders.get(folder) ?? (folder === long ? { group: first, resource: second } : undefined);
    // What is no resource (ranges, leases of servers) is written as it is.
    const found = of === undefined ? identity : (this.#config.transformerOf(of.group, of.resource) ?? identity);
    this.#transformers.set(folder, found);
    return found;
  }

  #sealed(key: string, value: Buffer): Buffer {
    return this.#transformerOf(key).encrypt(value, key);
  }

  #written(key: string, result: WriteResult): WriteResult {
    if (!result.ok) return result.current === undefined ? result : { ok: false, current: this.#opened(result.current) };
    this.#stale.delete(key);
    this.#unreadable.delete(key);
    return result;
  }

  /** Throws StorageError when the value cannot be decrypted. */
  #opened(item: KeyValue): KeyValue {
    const { key } = item;
    try {
      const found = this.#transformerOf(key).decrypt(item.value, key);
      if (found === undefined) throw new TransformError("identity transformer tried to read encrypted data");
      if (found.isStale) this.#stale.add(key);
      else this.#stale.delete(key);
      this.#unreadable.delete(key);
      return found.plain === item.value ? item : { ...item, value: found.plain };
    } catch (error) {
      if (!(error instanceof TransformError)) throw error;
      const why = `unable to transform key ${JSON.stringify(key)}: ${error.message}`;
      this.#unreadable.set(key, why);
      throw new StorageError("internal", why, { cause: error });
    }
  }

  #openedOrRaw(item: KeyValue): KeyValue {
    try {
      return this.#opened(item);
    } catch (error) {
      // Kept in #unreadable: whoever asks for it is told.
      if (error instanceof StorageError) return item;
      throw error;
    }
  }

  #openedEvent(event: KeyValueEvent): KeyValueEvent {
    if (event.type === "delete") {
      this.#stale.delete(event.key);
      this.#unreadable.delete(event.key);
    }
    const previous = event.previous === undefined ? undefined : this.#openedOrRaw(event.previous);
    if (event.type === "delete") return { ...event, previous };
    const { key, value, revision } = event;
    const opened = this.#openedOrRaw({ key, value, modRevision: revision, createRevision: 0, leaseId: "0" });
    return { ...event, value: opened.value, previous };
  }
}
