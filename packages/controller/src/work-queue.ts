/**
 * Keys that wait to be reconciled.
 *
 * Guarantees, for each key:
 * 1. It is never handed to two workers at once: `get` gives it to one, and nobody else gets it before that one's `done`.
 * 2. Marks are kept: an `add` while it waits is the same work, an `add` while it is worked on makes it wait again after
 *    `done`. So a reconcile that starts after the add sees what the add was about.
 * 3. It is handed out in the order in which it began to wait.
 * 4. `addAfter` keeps the earliest time; `addRateLimited` waits 5 ms, 10 ms, ... 1000 s per key until `forget`, and with a
 *    `retryRate` as long as all keys' retries after errors need to stay below it together.
 * 5. After `shutDown` nothing is added; what waits is still handed out, what is delayed is dropped, then `get` answers
 *    undefined.
 *
 *   add ---> [waiting] --get--> [working] --done--> gone
 *               ^                   | add
 *               +------ done ---- [working, marked]
 *
 * Source: k8s.io/client-go/util/workqueue, DefaultTypedControllerRateLimiter
 *
 * Differs from upstream: the overall rate (there 10 per second after a burst of 100) holds only where a queue asks for it. After an
 * outage every key waits for its turn in it: the day of trouble took 42 s without and had not ended after 140 s with it, and the API
 * server's flow control says when it is too much.
 */
import { Backoff } from "@knarr/daemon/backoff.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import { TokenBucket, type TokenBucketOptions } from "@knarr/daemon/token-bucket.ts";
import type { QueueObserver } from "./work-queue-metrics.ts";

export interface WorkQueueOptions {
  readonly clock: Clock;
  /** Told of each step, for metrics. */
  readonly observer?: QueueObserver | undefined;
  readonly baseDelayMs?: number | undefined;
  readonly maxDelayMs?: number | undefined;
  /** Of all keys' retries together; none when absent. */
  readonly retryRate?: TokenBucketOptions | undefined;
}

export class WorkQueue {
  readonly #clock: Clock;
  readonly #observer: QueueObserver | undefined;
  readonly #backoff: Backoff;
  readonly #retries: TokenBucket | undefined;
  /** Insertion order is the order of waiting. */
  readonly #waiting = new Set<string>();
  readonly #working = new Set<string>();
  readonly #marked = new Set<string>();
  readonly #delayed = new Map<string, { atMs: number; cancel: () => void }>();
  readonly #getters: ((key: string | undefined) => void)[] = [];
  #down = false;

  constructor(options: WorkQueueOptions) {
    this.#clock = options.clock;
    this.#observer = options.observer;
    this.#backoff = new Backoff({
      initialMs: options.baseDelayMs ?? 5,
      maxMs: options.maxDelayMs ?? 1_000_000,
      factor: 2,
    });
    this.#retries = options.retryRate === undefined ? undefined : new TokenBucket(options.retryRate);
  }

  /** How many keys wait to be handed out. */
  get length(): number {
    return this.#waiting.size;
  }

  /** Whether nothing waits, nothing is worked on and nothing is delayed. */
  get idle(): boolean {
    return this.#waiting.size === 0 && this.#working.size === 0 && this.#delayed.size === 0;
  }

  add(key: string): void {
    if (this.#down) return;
    if (this.#working.has(key)) {
      if (this.#marked.has(key)) return;
      this.#marked.add(key);
      this.#observer?.added(key, this.#clock.monotonicMs());
      return;
    }
    if (this.#waiting.has(key)) return;
    this.#observer?.added(key, this.#clock.monotonicMs());
    this.#enqueue(key);
  }

  /** Adds after `ms`, unless an earlier time is already set. */
  addAfter(key: string, ms: number): void {
    if (this.#down) return;
    if (ms <= 0) {
      this.add(key);
      return;
    }
    const atMs = this.#clock.monotonicMs() + ms;
    const existing = this.#delayed.get(key);
    if (existing !== undefined && existing.atMs <= atMs) return;
    existing?.cancel();
    const cancel = this.#clock.setTimeout(() => {
      this.#delayed.delete(key);
      this.add(key);
    }, ms);
    this.#delayed.set(key, { atMs, cancel });
  }

  /**
   * Adds after the key's back-off, or when the rate of all retries allows, counting one more failure.
   *
   * A conflict waits for its own back-off only: it says that the cache was behind, not that the server is in trouble.
   */
  addRateLimited(key: string, why: "error" | "conflict" = "error"): void {
    this.#observer?.retried();
    const overallMs = why === "conflict" ? 0 : (this.#retries?.reserve(this.#clock.monotonicMs()) ?? 0);
    this.addAfter(key, Math.max(this.#backoff.next(key), overallMs));
  }

  /** The key did well: its next failure waits 5 ms again. */
  forget(key: string): void {
    this.#backoff.reset(key);
  }

  /** Failures since the last `forget`. */
  failures(key: string): number {
    return this.#backoff.failures(key);
  }

  /** The next key, once there is one; undefined after `shutDown`, when nothing waits any more. Call `done` with it. */
  get(): Promise<string | undefined> {
    for (const key of this.#waiting) {
      this.#waiting.delete(key);
      return Promise.resolve(this.#handOut(key));
    }
    if (this.#down) return Promise.resolve(undefined);
    return new Promise((resolve) => this.#getters.push(resolve));
  }

  /** The work on `key` has ended, well or not. */
  done(key: string): void {
    if (!this.#working.delete(key)) throw new Error(`done(${key}) without get`);
    this.#observer?.finished(key, this.#clock.monotonicMs());
    if (this.#marked.delete(key)) this.#enqueue(key);
  }

  /** Idempotent. */
  shutDown(): void {
    this.#down = true;
    for (const { cancel } of this.#delayed.values()) cancel();
    this.#delayed.clear();
    for (const resolve of this.#getters.splice(0)) resolve(undefined);
  }

  #enqueue(key: string): void {
    const resolve = this.#getters.shift();
    if (resolve === undefined) this.#waiting.add(key);
    else resolve(this.#handOut(key));
  }

  #handOut(key: string): string {
    this.#working.add(key);
    this.#observer?.started(key, this.#clock.monotonicMs());
    return key;
  }
}
