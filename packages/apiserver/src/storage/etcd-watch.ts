/**
 * One watch over etcd that outlives its connections.
 *
 *            created, data                    error, end, silence, "no leader"
 *   connecting ----------> open ------------------------------------------+
 *       ^                                                                 |
 *       +------------------------- waiting (back-off) <-------------------+        aborted or compacted -> done
 *
 * It remembers the first revision that it has not handed out yet (`#next`) and asks for exactly that one on every new connection:
 * etcd replays whole revisions, so nothing is skipped and nothing comes twice. A link that has said nothing for a while is asked for
 * progress; one that does not answer is thrown away with its connection. It never looks at values and never buffers without bound: when
 * the reader is slow the stream is paused.
 */
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import type { GrpcStream } from "./etcd/grpc-link.ts";
import { decodeWatchAnswer, encodeWatchCreate, encodeWatchProgress, type WatchAnswer } from "./etcd/messages.ts";
import { storageErrorOf } from "./etcd/status.ts";
import type { EtcdConnection } from "./etcd-connection.ts";
import type { KeyValueBatch, KeyValueEvent, KeyValueWatch, WatchRequest } from "./key-value.ts";
import { StorageError } from "./storage-error.ts";

/** After this much silence the link is asked for progress, and after as much again it is given up. */
const SILENCE_MS = 3_000;
const FIRST_RETRY_MS = 50;
const LAST_RETRY_MS = 1_000;
/** Batches read ahead of the consumer before the stream is paused. */
const READ_AHEAD = 64;

interface Tools {
  /** `attempt` counts the links of one watch, so that each can begin with another endpoint. */
  readonly connect: (attempt: number) => EtcdConnection;
  readonly clock: Clock;
  readonly log: Logger;
}

interface Link {
  readonly connection: EtcdConnection;
  stream: GrpcStream | undefined;
  /** Anything was heard since the last look. */
  heard: boolean;
  asked: boolean;
  created: boolean;
  /** Events of a response that etcd sends in pieces. */
  pieces: KeyValueEvent[];
  cancelSilenceTimer: () => void;
}

export class EtcdWatch implements KeyValueWatch {
  readonly #request: WatchRequest;
  readonly #tools: Tools;
  readonly #batches: KeyValueBatch[] = [];
  #next: number;
  #link: Link | undefined;
  #failure: StorageError | undefined;
  #wake: (() => void) | undefined;
  #retryMs = FIRST_RETRY_MS;
  #paused = false;
  #links = 0;
  #cancelRetry: () => void = () => {};

  constructor(request: WatchRequest, tools: Tools) {
    this.#request = request;
    this.#tools = tools;
    this.#next = request.fromRevision;
  }

  requestProgress(): void {
    const link = this.#link;
    if (link?.stream !== undefined && link.created) link.stream.write(encodeWatchProgress());
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<KeyValueBatch, void, undefined> {
    const { signal } = this.#request;
    const stop = () => this.#signalReader();
    signal.addEventListener("abort", stop, { once: true });
    this.#open();
    try {
      for (;;) {
        if (signal.aborted) return;
        const batch = this.#batches.shift();
        if (batch !== undefined) {
          this.#unpause();
          yield batch;
        } else if (this.#failure !== undefined) {
          throw this.#failure;
        } else {
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
        }
      }
    } finally {
      signal.removeEventListener("abort", stop);
      this.#drop();
      this.#cancelRetry();
      this.#failure ??= new StorageError("canceled", "the watch has ended");
    }
  }

  #signalReader(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }

  #open(): void {
    const link: Link = {
      connection: this.#tools.connect(this.#links++),
      stream: undefined,
      heard: false,
      asked: false,
      created: false,
      pieces: [],
      cancelSilenceTimer: () => {},
    };
    this.#link = link;
    const handlers = {
      message: (message: Buffer) => {
        if (this.#link === link) this.#receive(link, decodeWatchAnswer(message));
      },
      ended: (error: StorageError) => this.#lost(link, error),
    };
    link.connection.openWatch(handlers).then(
      (stream) => this.#start(link, stream),
      (error: unknown) => this.#lost(link, storageErrorOf(error)),
    );
    this.#watchSilence(link);
  }

  #start(link: Link, stream: GrpcStream): void {
    if (this.#link !== link) {
      stream.cancel();
      return;
    }
    link.stream = stream;
    const { start, end, withPrevious = false } = this.#request;
    const key = Buffer.from(start);
    stream.write(encodeWatchCreate({ key, end: Buffer.from(end), fromRevision: this.#next, withPrevious }));
  }

  #receive(link: Link, response: WatchAnswer): void {
    link.heard = true;
    link.asked = false;
    if (response.canceled) {
      this.#canceled(link, response);
    } else if (response.created) {
      link.created = true;
      this.#retryMs = FIRST_RETRY_MS;
    } else if (response.events.length > 0) {
      for (const event of response.events) {
        // etcd starts where it was told to; this guard keeps the promise "never twice" even if a version of it should not.
        if (event.revision >= this.#next) link.pieces.push(event);
      }
      if (!response.fragment) this.#deliver(link);
    } else if (link.created) {
      // An answer to a progress request, or etcd's own report: everything up to the header's revision has been sent.
      if (response.revision >= this.#next) this.#hand({ revision: response.revision, events: [] });
    }
  }

  #deliver(link: Link): void {
    const events = link.pieces;
    link.pieces = [];
    const last = events.at(-1);
    if (last !== undefined) this.#hand({ revision: last.revision, events });
  }

  #hand(batch: KeyValueBatch): void {
    this.#next = batch.revision + 1;
    this.#batches.push(batch);
    this.#signalReader();
    if (this.#batches.length >= READ_AHEAD && !this.#paused) {
      this.#paused = true;
      this.#link?.stream?.pause();
    }
  }

  #unpause(): void {
    if (!this.#paused || this.#batches.length > READ_AHEAD / 2) return;
    this.#paused = false;
    const link = this.#link;
    if (link !== undefined) {
      link.heard = true;
      link.stream?.resume();
    }
  }

  #canceled(link: Link, response: WatchAnswer): void {
    const { compactRevision } = response;
    if (compactRevision > 0) {
      this.#failure = new StorageError("compacted", "the history that the watch needs has been compacted", {
        compactRevision,
      });
      this.#drop();
      this.#signalReader();
    } else {
      this.#lost(link, new StorageError("unavailable", `etcd canceled the watch: ${response.cancelReason}`));
    }
  }

  /** open or connecting -> waiting -> connecting. Ignored for a link that was replaced already. */
  #lost(link: Link, error: StorageError): void {
    if (this.#link !== link || this.#failure !== undefined) return;
    this.#drop();
    this.#tools.log.warn({ err: error, fromRevision: this.#next, retryMs: this.#retryMs }, "etcd watch lost");
    this.#cancelRetry = this.#tools.clock.setTimeout(() => {
      if (this.#link === undefined && this.#failure === undefined && !this.#request.signal.aborted) this.#open();
    }, this.#retryMs);
    this.#retryMs = Math.min(LAST_RETRY_MS, this.#retryMs * 2);
  }

  #drop(): void {
    const link = this.#link;
    if (link === undefined) return;
    this.#link = undefined;
    this.#paused = false;
    link.cancelSilenceTimer();
    link.stream?.cancel();
    link.connection.close();
  }

  /** Looks at the link every SILENCE_MS for as long as it is the current one. */
  #watchSilence(link: Link): void {
    link.cancelSilenceTimer = this.#tools.clock.setTimeout(() => {
      if (this.#link !== link) return;
      if (!link.heard && link.asked && !this.#paused) {
        this.#lost(link, new StorageError("unavailable", "etcd did not answer a progress request"));
        return;
      }
      if (!link.heard) {
        link.asked = true;
        this.requestProgress();
      }
      link.heard = false;
      this.#watchSilence(link);
    }, SILENCE_MS);
  }
}
