/**
 * What one watcher still has to read. The writing side never waits: a queue that grows beyond its bounds is closed, its events are
 * given up, and the reader's iteration ends, so that a slow client costs neither memory nor the others' time.
 */
import type { ObjectEvent, ObjectWatch } from "./types.ts";
import { WakeRounds } from "./wake-rounds.ts";

/** A queue may hold this many events or bytes. The frames are shared, so this bounds how long old versions stay alive. */
const MAX_EVENTS = 8_192;
const MAX_BYTES = 16 * 1024 * 1024;
/** Initial events handed out in one step. */
const INITIAL_STEP = 128;
/** Of all watches: their readers share the event loop. */
const rounds = new WakeRounds();

export class EventQueue implements ObjectWatch {
  readonly #onClose: () => void;
  readonly #signal: AbortSignal | undefined;
  #initial: Iterator<ObjectEvent> | undefined;
  #events: ObjectEvent[] = [];
  #bytes = 0;
  #open = true;
  /** The reader gets what is queued before its iteration ends. */
  #draining = false;
  #overflowed = false;
  #wake: (() => void) | undefined;
  #isInRound = false;
  #dropped: (() => void) | undefined;

  /** `initial` is read lazily, before anything pushed. `onClose` runs once, however the watch ends. */
  constructor(options: {
    readonly initial?: Iterable<ObjectEvent>;
    readonly signal?: AbortSignal;
    readonly onClose?: () => void;
  }) {
    this.#initial = options.initial?.[Symbol.iterator]();
    this.#onClose = options.onClose ?? (() => {});
    this.#signal = options.signal;
    if (options.signal?.aborted === true) this.close();
    else options.signal?.addEventListener("abort", this.#onAbort, { once: true });
  }

  /** Whether the queue was closed because its reader was too slow. */
  get overflowed(): boolean {
    return this.#overflowed;
  }

  get isOpen(): boolean {
    return this.#open && !this.#draining;
  }

  onDropped(listener: () => void): void {
    this.#dropped = listener;
  }

  push(event: ObjectEvent): void {
    if (!this.isOpen) return;
    this.#events.push(event);
    this.#bytes += event.frame.length;
    if (this.#events.length > MAX_EVENTS || (this.#bytes > MAX_BYTES && this.#events.length > 1)) {
      this.#overflowed = true;
      this.close();
      this.#dropped?.();
      return;
    }
    if (this.#wake === undefined || this.#isInRound) return;
    this.#isInRound = true;
    rounds.add(this.#onTurn);
  }

  /** Ends the watch after what is queued, with `last` as its final event if given. Idempotent. */
  finish(last?: ObjectEvent): void {
    if (!this.isOpen) return;
    if (last !== undefined) this.#events.push(last);
    this.#draining = true;
    this.#notify();
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#events = [];
    this.#initial = undefined;
    this.#signal?.removeEventListener("abort", this.#onAbort);
    this.#onClose();
    this.#notify();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<readonly ObjectEvent[], void, undefined> {
    try {
      while (this.#open) {
        const step = this.#take();
        if (step.length > 0) yield step;
        else if (this.#draining) return;
        else {
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
        }
      }
    } finally {
      this.close();
    }
  }

  #take(): readonly ObjectEvent[] {
    if (this.#initial !== undefined) {
      const step: ObjectEvent[] = [];
      while (step.length < INITIAL_STEP) {
        const next = this.#initial.next();
        if (next.done === true) {
          this.#initial = undefined;
          break;
        }
        step.push(next.value);
      }
      if (step.length > 0) return step;
    }
    const events = this.#events;
    if (events.length > 0) {
      this.#events = [];
      this.#bytes = 0;
    }
    return events;
  }

  readonly #onAbort = (): void => this.close();

  readonly #onTurn = (): void => {
    this.#isInRound = false;
    this.#notify();
  };

  #notify(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}
