/**
 * Keeps a local copy of a collection current, for as long as its signal lives: a list, then a watch from the list's
 * version, and again whenever the server says that the version is gone.
 *
 *            +------------ 410, or the server won't say where we are ------------+
 *            v                                                                   |
 *   [list: streaming WATCH with initial events, or LIST] --version--> [watch from version] --end, error--> [watch again]
 *
 * It never gives up: every failure is logged, waited out (0.8 s doubling to 30 s, up to twice that by jitter) and tried
 * again. A store that was filled once stays as it is meanwhile; it is never emptied because the server can't be reached.
 * Source: KEP-3157 (streaming lists), client-go tools/cache/reflector.go
 */
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import type { ResourceRef } from "@knarr/apimachinery/resource.ts";
import { isExpired, StatusError } from "@knarr/apimachinery/status-error.ts";
import { Backoff } from "@knarr/daemon/backoff.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import type { Client } from "./client.ts";
import { ConnectionError } from "./connection-error.ts";
import { listAll } from "./list-all.ts";
import type { WatchEvent } from "./watch-resource.ts";

/** Where a reflector puts what it learns. Calls come one at a time, in the order of the server's events. */
export interface ReflectorStore<T> {
  /** Makes of what the server sent what is kept, at once: a list is never held as it came. */
  prepare(object: T): T;
  /** Everything there is, prepared, as of a version. */
  replace(objects: Iterable<T>): void;
  put(object: T): void;
  remove(object: T): void;
}

export interface ReflectorOptions<T> {
  readonly client: Client;
  readonly ref: ResourceRef<T>;
  readonly store: ReflectorStore<T>;
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  readonly metadataOnly?: boolean | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  /** Uniform in [0, 1); Math.random when absent. */
  readonly random?: () => number;
}

const INITIAL_EVENTS_END = "k8s.io/initial-events-end";
const BACKOFF = { initialMs: 800, maxMs: 30_000, factor: 2, jitter: 1 };
/** A watch that ended sooner, without an event, did not work. */
const SHORT_WATCH_MS = 1000;
const MIN_WATCH_SECONDS = 300;
/** Servers send bookmarks about once a minute: twice that and a bit without a byte means the stream is dead. */
const IDLE_WITH_BOOKMARKS_MS = 135_000;
/** A server that ignores sendInitialEvents sends nothing that ends the list: fall back after this much silence. */
const IDLE_IN_INITIAL_EVENTS_MS = 30_000;
/** A server without a word for this long after trouble counts as well again. */
const HEALTHY_AFTER_MS = 120_000;

type Phase = { readonly kind: "list" } | { readonly kind: "watch" };

export class Reflector<T extends KubeObject> {
  readonly #options: ReflectorOptions<T>;
  readonly #backoff: Backoff;
  #phase: Phase = { kind: "list" };
  /** "" asks for the most recent state; anything else for one not older. */
  #version = "";
  #streaming = true;
  #sawBookmark = false;
  #lastFailureMs = Number.NEGATIVE_INFINITY;

  constructor(options: ReflectorOptions<T>) {
    this.#options = options;
    this.#backoff = new Backoff({ ...BACKOFF, ...(options.random === undefined ? {} : { random: options.random }) });
  }

  /** The version up to which the store has seen everything; "" before the first list. */
  get resourceVersion(): string {
    return this.#version;
  }

  /** Resolves when the signal aborts, never before; never rejects but for bugs of the store. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.#step(signal);
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof StatusError) && !(error instanceof ConnectionError)) throw error;
        const waitMs = this.#afterFailure(error);
        try {
          await this.#options.clock.sleep(waitMs, signal);
        } catch {
          // Only the signal ends a sleep early, and then there is nothing left to do.
          return;
        }
      }
    }
  }

  async #step(signal: AbortSignal): Promise<void> {
    if (this.#phase.kind === "watch") return this.#watch(signal);
    if (this.#streaming) return this.#streamingList(signal);
    return this.#list(signal);
  }

  async #list(signal: AbortSignal): Promise<void> {
    const { client, ref, store, namespace, labelSelector, fieldSelector, metadataOnly } = this.#options;
    // "0" lets the server answer from its cache; after trouble "" asks for the newest state there is.
    const resourceVersion = this.#version === "" && this.#lastFailureMs < 0 ? "0" : this.#version;
    const selection = { namespace, labelSelector, fieldSelector, metadataOnly };
    const list = await listAll(client, ref, { ...selection, resourceVersion, signal }, (object) =>
      store.prepare(object),
    );
    store.replace(list.items);
    this.#version = list.metadata.resourceVersion ?? "";
    this.#phase = { kind: "watch" };
  }

  /** Lists by a watch that begins with what exists, and goes on as the watch. */
  async #streamingList(signal: AbortSignal): Promise<void> {
    const initial = new Map<string, T>();
    let listed = false;
    const startedMs = this.#options.clock.monotonicMs();
    const idleTimeoutMs = () => (listed ? IDLE_WITH_BOOKMARKS_MS : IDLE_IN_INITIAL_EVENTS_MS);
    try {
      for await (const event of this.#events(signal, { sendInitialEvents: true, idleTimeoutMs })) {
        if (listed) {
          this.#apply(event);
          continue;
        }
        const { uid = "", name = "", namespace = "" } = event.object.metadata;
        if (event.type === "BOOKMARK") {
          if (event.object.metadata.annotations?.[INITIAL_EVENTS_END] !== "true") continue;
          listed = true;
          this.#options.store.replace(initial.values());
          initial.clear();
          this.#advance(event);
          this.#phase = { kind: "watch" };
          this.#backoff.reset();
        } else if (event.type === "DELETED") initial.delete(`${namespace}/${name}/${uid}`);
        else initial.set(`${namespace}/${name}/${uid}`, this.#options.store.prepare(event.object));
      }
    } catch (error) {
      if (listed || !this.#refusesStreaming(error, startedMs)) throw error;
      this.#streaming = false;
      this.#options.log.debug({ resource: this.#options.ref.resource, err: error }, "no streaming list, using LIST");
      return;
    }
    if (!listed) throw new ConnectionError("the stream ended before the initial events did");
  }

  /** A 4xx refusal, or silence where the end of the initial events should be. */
  #refusesStreaming(error: unknown, startedMs: number): boolean {
    if (error instanceof StatusError) return error.code === 422 || error.code === 400;
    const silentMs = this.#options.clock.monotonicMs() - startedMs;
    return error instanceof ConnectionError && error.code === "ETIMEDOUT" && silentMs >= IDLE_IN_INITIAL_EVENTS_MS;
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const startedMs = this.#options.clock.monotonicMs();
    let events = 0;
    const idleTimeoutMs = () => (this.#sawBookmark ? IDLE_WITH_BOOKMARKS_MS : undefined);
    for await (const event of this.#events(signal, { resourceVersion: this.#version, idleTimeoutMs })) {
      events++;
      this.#apply(event);
    }
    if (events === 0 && this.#options.clock.monotonicMs() - startedMs < SHORT_WATCH_MS) {
      throw new ConnectionError("the watch ended at once, without an event");
    }
  }

  #events(
    signal: AbortSignal,
    own: { sendInitialEvents?: boolean; resourceVersion?: string; idleTimeoutMs: () => number | undefined },
  ): AsyncIterable<WatchEvent<T>> {
    const { client, ref, namespace, labelSelector, fieldSelector, metadataOnly, random = Math.random } = this.#options;
    return client.watch(ref, {
      namespace,
      labelSelector,
      fieldSelector,
      metadataOnly,
      resourceVersion: own.resourceVersion ?? this.#version,
      ...(own.sendInitialEvents === true
        ? { sendInitialEvents: true, resourceVersionMatch: "NotOlderThan" as const }
        : {}),
      allowWatchBookmarks: true,
      timeoutSeconds: Math.floor(MIN_WATCH_SECONDS * (1 + random())),
      idleTimeoutMs: own.idleTimeoutMs,
      signal,
    });
  }

  #apply(event: WatchEvent<T>): void {
    const { store } = this.#options;
    switch (event.type) {
      case "ADDED":
      case "MODIFIED":
        store.put(store.prepare(event.object));
        break;
      case "DELETED":
        store.remove(store.prepare(event.object));
        break;
      case "BOOKMARK":
        break;
      default:
        event satisfies never;
    }
    this.#advance(event);
  }

  #advance(event: WatchEvent<T>): void {
    if (event.type === "BOOKMARK") this.#sawBookmark = true;
    const version = event.object.metadata.resourceVersion;
    if (version !== undefined && version !== "") this.#version = version;
  }

  /** Decides where to go on after `error` and how long to wait before. */
  #afterFailure(error: StatusError | ConnectionError): number {
    const { clock, log, ref, namespace } = this.#options;
    const nowMs = clock.monotonicMs();
    if (nowMs - this.#lastFailureMs > HEALTHY_AFTER_MS) this.#backoff.reset();
    this.#lastFailureMs = nowMs;
    const fields = { resource: ref.resource, namespace, err: error };
    if (isExpired(error)) {
      log.debug(fields, "watch expired, listing again");
      this.#phase = { kind: "list" };
      this.#version = "";
      // The first time it is no failure of anything; a server that says so again and again is.
      const first = this.#backoff.failures() === 0;
      const waitMs = this.#backoff.next();
      return first ? 0 : waitMs;
    }
    log.warn(fields, "list or watch failed, trying again");
    if (error instanceof StatusError && startsOver(error)) {
      this.#phase = { kind: "list" };
      if (isTooLargeVersion(error)) this.#version = "";
    }
    const askedMs = error instanceof StatusError ? (error.status.details?.retryAfterSeconds ?? 0) * 1000 : 0;
    return Math.max(askedMs, this.#backoff.next());
  }
}

/** Answers that say more than "not now": what we believe about the collection may be wrong, so list it again. */
function startsOver(error: StatusError): boolean {
  return error.code >= 400 && error.code !== 429 && error.code < 500 ? true : isTooLargeVersion(error);
}

/** A version from the future, say of a store restored from a backup. Source: metav1.CauseTypeResourceVersionTooLarge */
function isTooLargeVersion(error: StatusError): boolean {
  return error.status.details?.causes?.some((cause) => cause.reason === "ResourceVersionTooLarge") === true;
}
