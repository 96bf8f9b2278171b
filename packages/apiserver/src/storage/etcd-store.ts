/**
 * KeyValueStore over a real etcd (>= 3.5.13: older ones may report watch progress too early).
 *
 * Reads meet a passing outage with one more try on another connection; writes are tried once and never again.
 */
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import {
  decodeLeaseGrant,
  decodeRange,
  decodeTransaction,
  encodeCompaction,
  encodeLeaseGrant,
  encodeRange,
  encodeTransaction,
  type GuardedWrite,
  type RangeFields,
} from "./etcd/messages.ts";
import { EtcdConnection, type EtcdOptions } from "./etcd-connection.ts";
import { EtcdWatch } from "./etcd-watch.ts";
import type {
  KeyValueStore,
  KeyValueWatch,
  RangeRequest,
  RangeResult,
  WatchRequest,
  WriteOptions,
  WriteResult,
} from "./key-value.ts";
import { isOutage } from "./storage-error.ts";

export class EtcdStore implements KeyValueStore {
  readonly #options: EtcdOptions;
  readonly #connection: EtcdConnection;
  readonly #clock: Clock;
  readonly #log: Logger;

  constructor(options: EtcdOptions, tools: { readonly clock: Clock; readonly log: Logger }) {
    this.#options = options;
    this.#connection = new EtcdConnection(options, { clock: tools.clock });
    this.#clock = tools.clock;
    this.#log = tools.log;
  }

  /** Closes the connections of everything but open watches, which end by their signals. */
  close(): void {
    this.#connection.close();
  }

  async get(key: string, options: { readonly revision?: number; readonly signal?: AbortSignal } = {}) {
    const { revision: at, signal } = options;
    const request = { key: Buffer.from(key), ...(at === undefined ? {} : { revision: at }) };
    const { items, revision } = await this.#read(request, signal);
    return { item: items[0], revision };
  }

  range(request: RangeRequest): Promise<RangeResult> {
    const { start, end, signal, ...rest } = request;
    return this.#read({ ...rest, key: Buffer.from(start), end: Buffer.from(end) }, signal);
  }

  async currentRevision(signal?: AbortSignal): Promise<number> {
    return (await this.#read({ key: FENCE_KEY, countOnly: true }, signal)).revision;
  }

  create(key: string, value: Buffer, options: WriteOptions = {}): Promise<WriteResult> {
    return this.#transact(key, 0, { kind: "put", value, leaseId: options.leaseId }, options.signal);
  }

  replace(key: string, value: Buffer, expectedRevision: number, options: WriteOptions = {}): Promise<WriteResult> {
    return this.#transact(key, expectedRevision, { kind: "put", value, leaseId: options.leaseId }, options.signal);
  }

  remove(key: string, expectedRevision: number, options: { readonly signal?: AbortSignal } = {}): Promise<WriteResult> {
    return this.#transact(key, expectedRevision, { kind: "delete" }, options.signal);
  }

  async grantLease(ttlSeconds: number, signal?: AbortSignal): Promise<string> {
    return decodeLeaseGrant(await this.#connection.call("leaseGrant", encodeLeaseGrant(ttlSeconds), signal));
  }

  async compact(revision: number, signal?: AbortSignal): Promise<void> {
    await this.#connection.call("compact", encodeCompaction(revision), signal);
  }

  watch(request: WatchRequest): KeyValueWatch {
    return new EtcdWatch(request, {
      connect: (attempt) => new EtcdConnection(this.#options, { clock: this.#clock, first: attempt }),
      clock: this.#clock,
      log: this.#log,
    });
  }

  async #read(fields: RangeFields, signal: AbortSignal | undefined): Promise<RangeResult> {
    const request = encodeRange(fields);
    try {
      return decodeRange(await this.#connection.call("range", request, signal));
    } catch (error) {
      if (!isOutage(error) || signal?.aborted === true) throw error;
      return decodeRange(await this.#connection.call("range", request, signal));
    }
  }

  async #transact(
    key: string,
    expectedRevision: number,
    write: GuardedWrite,
    signal: AbortSignal | undefined,
  ): Promise<WriteResult> {
    const request = encodeTransaction(Buffer.from(key), expectedRevision, write);
    const result = decodeTransaction(await this.#connection.call("transaction", request, signal));
    return result.succeeded ? { ok: true, revision: result.revision } : { ok: false, current: result.found };
  }
}

/** A key that nobody writes: reading it costs etcd next to nothing, and the answer's header holds the revision. */
const FENCE_KEY = Buffer.from("\0");
