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
import {
  type EtcdConnection,
  type EtcdKeyValue,
  type EtcdWatchResponse,
  type EtcdWatchStream,
  storageErrorOf,
} from "./etcd-connection.ts";
import type { KeyValue, KeyValueBatch, KeyValueEvent, KeyValueWatch, WatchRequest } from "./key-value.ts";
import { StorageError } from "./storage-error.ts";

/** After this much silence the link is asked for progress, and after as much again it is given up. */
const SILENCE_MS = 3_000;
const FIRST_RETRY_MS = 50;
const LAST_RETRY_MS = 1_000;
/** Batches read ahead of the consumer before the stream is paused. */
const READ_AHEAD = 64;
const EMPTY = Buffer.alloc(0);

interface Tools {
  readonly connect: () => EtcdConnection;
  readonly clock: Clock;
  readonly log: Logger;
}

interface Link {
  readonly connection: EtcdConnection;
  stream: EtcdWatchStream | undefined;
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
  #cancelRetry: () => void = () => {};

  constructor(request: WatchRequest, tools: Tools) {
    this.#request = request;
    this.#tools = tools;
    this.#next = request.fromRevision;
  }

  requestProgress(): void {
    const link = this.#link;
    if (link?.stream !== undefined && link.created) link.stream.write({ progress_request: {} });
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
      connection: this.#tools.connect(),
      stream: undefined,
      heard: false,
      asked: false,
      created: false,
      pieces: [],
      cancelSilenceTimer: () => {},
    };
    this.#link = link;
    link.connection.openWatch().then(
      (stream) => this.#start(link, stream),
      (error: unknown) => this.#lost(link, storageErrorOf(error)),
    );
    this.#watchSilence(link);
  }

  #start(link: Link, stream: EtcdWatchStream): void {
    if (this.#link !== link) {
      stream.on("error", ignoreAfterDrop);
      stream.cancel();
      return;
    }
    link.stream = stream;
    stream.on("error", (error) => this.#lost(link, storageErrorOf(error)));
    stream.on("end", () => this.#lost(link, new StorageError("unavailable", "etcd ended the watch stream")));
    stream.on("data", (response) => {
      if (this.#link === link) this.#receive(link, response);
    });
    stream.write({
      create_request: {
        key: Buffer.from(this.#request.start),
        range_end: Buffer.from(this.#request.end),
        start_revision: this.#next,
        prev_kv: this.#request.withPrevious ?? false,
        fragment: true,
      },
    });
  }

  #receive(link: Link, response: EtcdWatchResponse): void {
    link.heard = true;
    link.asked = false;
    if (response.canceled) {
      this.#canceled(link, response);
    } else if (response.created) {
      link.created = true;
      this.#retryMs = FIRST_RETRY_MS;
    } else if (response.events.length > 0) {
      for (const event of response.events) {
        const made = eventOf(event.type, event.kv, event.prev_kv);
        // etcd starts where it was told to; this guard keeps the promise "never twice" even if a version of it should not.
        if (made.revision >= this.#next) link.pieces.push(made);
      }
      if (!response.fragment) this.#deliver(link);
    } else if (link.created) {
      // An answer to a progress request, or etcd's own report: everything up to the header's revision has been sent.
      const revision = Number(response.header.revision);
      if (revision >= this.#next) this.#hand({ revision, events: [] });
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

  #canceled(link: Link, response: EtcdWatchResponse): void {
    const compactRevision = Number(response.compact_revision);
    if (compactRevision > 0) {
      this.#failure = new StorageError("compacted", "the history that the watch needs has been compacted", {
        compactRevision,
      });
      this.#drop();
      this.#signalReader();
    } else {
      this.#lost(link, new StorageError("unavailable", `etcd canceled the watch: ${response.cancel_reason}`));
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

/** The stream was given up before it began; its "canceled" error says nothing new, but unheard it would crash the process. */
function ignoreAfterDrop(): void {}

function eventOf(type: "Put" | "Delete", kv: EtcdKeyValue, previous: EtcdKeyValue | null): KeyValueEvent {
  const isPut = type === "Put";
  return {
    type: isPut ? "put" : "delete",
    key: kv.key.toString(),
    value: isPut ? kv.value : EMPTY,
    revision: Number(kv.mod_revision),
    isCreate: isPut && kv.create_revision === kv.mod_revision,
    previous: previous === null ? undefined : previousOf(previous),
  };
}

function previousOf(raw: EtcdKeyValue): KeyValue {
  return {
    key: raw.key.toString(),
    value: raw.value,
    modRevision: Number(raw.mod_revision),
    createRevision: Number(raw.create_revision),
    leaseId: raw.lease,
  };
}
