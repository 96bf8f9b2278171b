/**
 * KeyValueStore over a real etcd (>= 3.5.13: older ones may report watch progress too early).
 *
 * Reads meet a passing outage with one more try on another connection; writes are tried once and never again.
 */
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import { EtcdConnection, type EtcdKeyValue, type EtcdOptions } from "./etcd-connection.ts";
import { EtcdWatch } from "./etcd-watch.ts";
import type {
  KeyValue,
  KeyValueStore,
  KeyValueWatch,
  RangeRequest,
  RangeResult,
  WatchRequest,
  WriteOptions,
  WriteResult,
} from "./key-value.ts";
import { isOutage } from "./storage-error.ts";

interface RangeResponse {
  readonly header: { readonly revision: string };
  readonly kvs: readonly EtcdKeyValue[];
  readonly more: boolean;
  readonly count: string;
}

interface TxnResponse {
  readonly header: { readonly revision: string };
  readonly succeeded: boolean;
  readonly responses: readonly { readonly response_range?: RangeResponse | null }[];
}

const NO_KEYS: readonly KeyValue[] = [];

export class EtcdStore implements KeyValueStore {
  readonly #options: EtcdOptions;
  readonly #connection: EtcdConnection;
  readonly #clock: Clock;
  readonly #log: Logger;

  constructor(options: EtcdOptions, tools: { readonly clock: Clock; readonly log: Logger }) {
    this.#options = options;
    this.#connection = new EtcdConnection(options);
    this.#clock = tools.clock;
    this.#log = tools.log;
  }

  /** Closes the connections of everything but open watches, which end by their signals. */
  close(): void {
    this.#connection.close();
  }

  async get(key: string, options: { readonly revision?: number; readonly signal?: AbortSignal } = {}) {
    const response = await this.#read<RangeResponse>(
      { key: Buffer.from(key), ...at(options.revision) },
      options.signal,
    );
    const first = response.kvs[0];
    return {
      item: first === undefined ? undefined : keyValueOf(first),
      revision: Number(response.header.revision),
    };
  }

  async range(request: RangeRequest): Promise<RangeResult> {
    const response = await this.#read<RangeResponse>(
      {
        key: Buffer.from(request.start),
        range_end: Buffer.from(request.end),
        limit: request.limit ?? 0,
        keys_only: request.keysOnly ?? false,
        count_only: request.countOnly ?? false,
        ...at(request.revision),
      },
      request.signal,
    );
    return {
      items: response.kvs.length === 0 ? NO_KEYS : response.kvs.map(keyValueOf),
      count: Number(response.count),
      more: response.more,
      revision: Number(response.header.revision),
    };
  }

  async currentRevision(signal?: AbortSignal): Promise<number> {
    const response = await this.#read<RangeResponse>({ key: FENCE_KEY, count_only: true }, signal);
    return Number(response.header.revision);
  }

  create(key: string, value: Buffer, options: WriteOptions = {}): Promise<WriteResult> {
    const bytes = Buffer.from(key);
    return this.#transact(bytes, 0, { request_put: put(bytes, value, options.leaseId) }, options.signal);
  }

  replace(key: string, value: Buffer, expectedRevision: number, options: WriteOptions = {}): Promise<WriteResult> {
    const bytes = Buffer.from(key);
    return this.#transact(bytes, expectedRevision, { request_put: put(bytes, value, options.leaseId) }, options.signal);
  }

  remove(key: string, expectedRevision: number, options: { readonly signal?: AbortSignal } = {}): Promise<WriteResult> {
    const bytes = Buffer.from(key);
    return this.#transact(bytes, expectedRevision, { request_delete_range: { key: bytes } }, options.signal);
  }

  async grantLease(ttlSeconds: number, signal?: AbortSignal): Promise<string> {
    const response = await this.#connection.call<{ ID: string }>("Lease", "leaseGrant", { TTL: ttlSeconds }, signal);
    return response.ID;
  }

  async compact(revision: number, signal?: AbortSignal): Promise<void> {
    await this.#connection.call("KV", "compact", { revision }, signal);
  }

  watch(request: WatchRequest): KeyValueWatch {
    return new EtcdWatch(request, {
      connect: () => new EtcdConnection(this.#options),
      clock: this.#clock,
      log: this.#log,
    });
  }

  async #read<T>(payload: unknown, signal: AbortSignal | undefined): Promise<T> {
    try {
      return await this.#connection.call<T>("KV", "range", payload, signal);
    } catch (error) {
      if (!isOutage(error) || signal?.aborted === true) throw error;
      return await this.#connection.call<T>("KV", "range", payload, signal);
    }
  }

  async #transact(
    key: Buffer,
    expectedRevision: number,
    write: unknown,
    signal: AbortSignal | undefined,
  ): Promise<WriteResult> {
    const response = await this.#connection.call<TxnResponse>(
      "KV",
      "txn",
      {
        compare: [{ key, result: "Equal", target: "Mod", mod_revision: expectedRevision }],
        success: [write],
        // A create has no use for the bytes of what is there already.
        failure: [{ request_range: { key, keys_only: expectedRevision === 0 } }],
      },
      signal,
    );
    if (response.succeeded) return { ok: true, revision: Number(response.header.revision) };
    const found = response.responses[0]?.response_range?.kvs[0];
    return { ok: false, current: found === undefined ? undefined : keyValueOf(found) };
  }
}

/** A key that nobody writes: reading it costs etcd next to nothing, and the answer's header holds the revision. */
const FENCE_KEY = Buffer.from("\0");

function at(revision: number | undefined): { revision?: number } {
  return revision === undefined ? {} : { revision };
}

function put(key: Buffer, value: Buffer, leaseId: string | undefined) {
  return leaseId === undefined ? { key, value } : { key, value, lease: leaseId };
}

export function keyValueOf(raw: EtcdKeyValue): KeyValue {
  return {
    key: raw.key.toString(),
    value: raw.value,
    modRevision: Number(raw.mod_revision),
    createRevision: Number(raw.create_revision),
    leaseId: raw.lease,
  };
}
