/**
 * Sends audit events to a server, many at a time, as an EventList. What does not fit into the buffer is dropped and counted; a batch
 * that cannot be delivered is tried again a few times and then dropped, too: the log file is the record, this is the copy.
 * Source: k8s.io/apiserver/plugin/pkg/audit/{webhook,buffered}
 */
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import { TokenBucket, type TokenBucketOptions } from "@knarr/daemon/token-bucket.ts";
import type { AuditSink } from "./auditor.ts";

export interface WebhookSinkOptions {
  /** Posts the body; rejects when it was not taken. */
  readonly post: (body: string) => Promise<void>;
  /** "blocking" and "blocking-strict" send each event before the request is answered. */
  readonly mode: string;
  readonly maxBatch: number;
  readonly maxBatchBytes: number;
  readonly maxWaitMs: number;
  readonly bufferSize: number;
  readonly initialBackoffMs: number;
  /** How many batches may be sent; undefined for no limit. */
  readonly throttle: TokenBucketOptions | undefined;
  readonly clock: Clock;
  readonly log: Logger;
}

const TRIES = 5;
const BACKOFF_FACTOR = 1.5;

export class WebhookSink implements AuditSink {
  readonly #options: WebhookSinkOptions;
  #waiting: string[] = [];
  #cancelTimer: (() => void) | undefined;
  #sending: Promise<void> = Promise.resolve();
  readonly #throttle: TokenBucket | undefined;
  readonly #closing = new AbortController();
  #closed = false;
  #dropped = 0;

  constructor(options: WebhookSinkOptions) {
    this.#options = options;
    this.#throttle = options.throttle === undefined ? undefined : new TokenBucket(options.throttle);
  }

  get dropped(): number {
    return this.#dropped;
  }

  write(line: string): Promise<void> | void {
    const { mode, maxBatch, maxWaitMs, bufferSize, clock } = this.#options;
    if (mode !== "batch") return this.#deliver([line]);
    if (this.#waiting.length >= bufferSize) {
      this.#dropped += 1;
      return;
    }
    this.#waiting.push(line);
    if (this.#waiting.length >= maxBatch) this.#flush();
    else this.#cancelTimer ??= clock.setTimeout(() => this.#flush(), maxWaitMs);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#closing.abort();
    this.#flush();
    await this.#sending;
  }

  #flush(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#sending = this.#sending.then(async () => {
      while (this.#waiting.length > 0) {
        await this.#takeTurn();
        await this.#deliver(this.#nextBatch());
      }
    });
  }

  /** Waits as long as the throttle says, or until the server stops. */
  async #takeTurn(): Promise<void> {
    const { clock } = this.#options;
    const waitMs = this.#throttle?.reserve(clock.monotonicMs()) ?? 0;
    if (waitMs === 0 || this.#closed) return;
    try {
      await clock.sleep(waitMs, this.#closing.signal);
    } catch (error) {
      // What waits is sent before the end.
      if (!this.#closed) throw error;
    }
  }

  /** As many as fit, one at the least. */
  #nextBatch(): string[] {
    const { maxBatch, maxBatchBytes } = this.#options;
    let bytes = 0;
    let count = 0;
    for (const line of this.#waiting) {
      bytes += Buffer.byteLength(line);
      if (count === maxBatch || (count > 0 && bytes > maxBatchBytes)) break;
      count += 1;
    }
    return this.#waiting.splice(0, count);
  }

  async #deliver(lines: readonly string[]): Promise<void> {
    const { post, initialBackoffMs, clock, log } = this.#options;
    const body = `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[${lines.join(",")}]}`;
    let pauseMs = initialBackoffMs;
    for (let attempt = 1; ; attempt++) {
      try {
        await post(body);
        return;
      } catch (error) {
        if (attempt === TRIES || this.#closed) {
          this.#dropped += lines.length;
          log.error({ err: error, events: lines.length }, "audit events not delivered");
          return;
        }
        await clock.sleep(pauseMs);
        pauseMs *= BACKOFF_FACTOR;
      }
    }
  }
}
