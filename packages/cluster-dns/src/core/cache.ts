/**
 * Answers of upstream resolvers, kept for as long as they allow and we want. Bounded: the least recently used go first.
 * Source: RFC 2181 5.2, RFC 2308 5 (negative answers live as long as their SOA says)
 */
import { rcodes, types } from "./codes.ts";
import type { Message, ResourceRecord } from "./message.ts";

export interface CacheOptions {
  readonly maxEntries: number;
  /** Upper limits. Source: CoreDNS' usual configuration, cache 30 */
  readonly maxPositiveMs: number;
  readonly maxNegativeMs: number;
}

interface Entry {
  readonly message: Message;
  readonly storedMs: number;
  readonly expiresMs: number;
}

export class AnswerCache {
  readonly #options: CacheOptions;
  readonly #entries = new Map<string, Entry>();

  constructor(options: CacheOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** The answer with its TTLs counted down, or undefined. */
  get(key: string, nowMs: number): Message | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    this.#entries.delete(key);
    if (nowMs >= entry.expiresMs) return undefined;
    this.#entries.set(key, entry);
    const ageSeconds = Math.floor((nowMs - entry.storedMs) / 1000);
    const aged = (records: readonly ResourceRecord[]) =>
      records.map((record) => ({ ...record, ttlSeconds: Math.max(0, record.ttlSeconds - ageSeconds) }));
    const { message } = entry;
    return {
      ...message,
      answers: aged(message.answers),
      authorities: aged(message.authorities),
      additionals: aged(message.additionals),
    };
  }

  /** Keeps NOERROR and NXDOMAIN answers that may be kept; errors are never remembered. */
  set(key: string, message: Message, nowMs: number): void {
    const lifetimeMs = this.#lifetimeMs(message);
    if (lifetimeMs <= 0) return;
    this.#entries.delete(key);
    this.#entries.set(key, { message, storedMs: nowMs, expiresMs: nowMs + lifetimeMs });
    if (this.#entries.size <= this.#options.maxEntries) return;
    const oldest = this.#entries.keys().next();
    if (oldest.done !== true) this.#entries.delete(oldest.value);
  }

  #lifetimeMs(message: Message): number {
    const rcode = message.flags & 0xf;
    if (rcode !== rcodes.NOERROR && rcode !== rcodes.NXDOMAIN) return 0;
    const { maxPositiveMs, maxNegativeMs } = this.#options;
    if (rcode === rcodes.NOERROR && message.answers.length > 0) {
      return Math.min(maxPositiveMs, 1000 * Math.min(...message.answers.map((record) => record.ttlSeconds)));
    }
    const soa = message.authorities.find((record) => record.type === types.SOA);
    if (soa === undefined || soa.data.length < 20) return 0;
    const minimumSeconds = soa.data.readUInt32BE(soa.data.length - 4);
    return Math.min(maxNegativeMs, 1000 * Math.min(soa.ttlSeconds, minimumSeconds));
  }
}
