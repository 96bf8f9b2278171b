/**
 * The API server's way to etcd: several endpoints, of which one is in use at a time; when its link fails or it has no leader, the next
 * one is dialled. Requests are sent once, unless it is certain that they were not (`unreachable`): those go to the other members too.
 */
import { type Clock, systemClock } from "@knarr/daemon/clock.ts";
import { type EtcdTls, GrpcLink, type GrpcStream, type StreamHandlers } from "./etcd/grpc-link.ts";
import { StorageError } from "./storage-error.ts";

export interface EtcdOptions {
  /** "https://127.0.0.1:2379" ... */
  readonly endpoints: readonly string[];
  readonly tls?: EtcdTls;
  /**
   * Deadline of a single request. Default 10 s: etcd itself gives up after 7 s.
   * Differs from upstream: it waits as long as the client's request may take, up to a minute, because its link finds out later.
   */
  readonly requestTimeoutMs?: number;
}

const DEFAULT_TIMEOUT_MS = 10_000;

export const ETCD_METHODS = {
  range: "/etcdserverpb.KV/Range",
  transaction: "/etcdserverpb.KV/Txn",
  compact: "/etcdserverpb.KV/Compact",
  leaseGrant: "/etcdserverpb.Lease/LeaseGrant",
  watch: "/etcdserverpb.Watch/Watch",
} as const;

export type EtcdMethod = keyof typeof ETCD_METHODS;

export class EtcdConnection {
  readonly #options: EtcdOptions;
  readonly #clock: Clock;
  #endpoint: number;
  #link: Promise<GrpcLink> | undefined;
  #open: GrpcLink | undefined;
  #closed = false;

  /** `first`: which endpoint to begin with, counted around. */
  constructor(options: EtcdOptions, { clock = systemClock, first = 0 }: { clock?: Clock; first?: number } = {}) {
    if (options.endpoints.length === 0) throw new TypeError("no etcd endpoint");
    this.#options = options;
    this.#clock = clock;
    this.#endpoint = first % options.endpoints.length;
  }

  /** Closes the connection; calls under way end "unavailable". Idempotent. */
  close(): void {
    this.#closed = true;
    this.#open?.close();
    this.#link?.then(
      (link) => link.close(),
      () => undefined, // It was never made.
    );
  }

  /** One request. Throws StorageError; an abort cancels the request at etcd too. */
  async call(method: EtcdMethod, request: Buffer, signal?: AbortSignal): Promise<Buffer> {
    const timeoutMs = this.#options.requestTimeoutMs ?? DEFAULT_TIMEOUT_MS;
    for (let attempt = 1; ; attempt++) {
      if (signal?.aborted === true) {
        throw new StorageError("canceled", "the request was given up", { cause: signal.reason });
      }
      const link = this.#open ?? (await this.#dial());
      try {
        return await link.unary(ETCD_METHODS[method], request, timeoutMs, signal);
      } catch (error) {
        this.#judge(link, error);
        const isUnsent = error instanceof StorageError && error.code === "unreachable";
        if (!isUnsent || attempt > this.#options.endpoints.length) throw error;
      }
    }
  }

  /** Opens a watch stream that etcd ends when it has no leader. Throws when nothing can be dialled; later errors go to `handlers`. */
  async openWatch(handlers: StreamHandlers): Promise<GrpcStream> {
    const link = this.#open ?? (await this.#dial());
    return link.stream(ETCD_METHODS.watch, handlers);
  }

  /** A member that does not answer, or has lost the others, is left for the next one. */
  #judge(link: GrpcLink, error: unknown): void {
    if (!(error instanceof StorageError)) return;
    const isBad = error.code === "unavailable" || error.code === "timeout" || error.code === "unreachable";
    if (isBad && this.#open === link) this.#leave(link);
  }

  /** What is under way on the link may still be answered, so with one endpoint it stays as long as it lives. */
  #leave(link: GrpcLink): void {
    if (this.#options.endpoints.length === 1 && !link.isLost) return;
    this.#open = undefined;
    this.#link = undefined;
    this.#endpoint = (this.#endpoint + 1) % this.#options.endpoints.length;
    if (!link.isLost) this.#clock.setTimeout(() => link.close(), this.#options.requestTimeoutMs ?? DEFAULT_TIMEOUT_MS);
  }

  /** The link in use, dialled if there is none; each endpoint is tried once. Calls that come meanwhile share it. */
  #dial(): Promise<GrpcLink> {
    if (this.#closed) return Promise.reject(new StorageError("unreachable", "the connection to etcd was closed"));
    if (this.#link !== undefined) return this.#link;
    const dialling = this.#dialAny();
    this.#link = dialling;
    dialling.then(
      (link) => {
        if (this.#closed) link.close();
        else if (!link.isLost) this.#open = link;
        else if (this.#link === dialling) this.#link = undefined;
      },
      () => {
        if (this.#link === dialling) this.#link = undefined;
      },
    );
    return dialling;
  }

  async #dialAny(): Promise<GrpcLink> {
    const { endpoints, tls } = this.#options;
    for (let tries = 1; ; tries++) {
      const endpoint = endpoints[this.#endpoint] ?? "";
      try {
        const link: GrpcLink = await GrpcLink.dial({
          ...{ endpoint, tls, clock: this.#clock },
          onLost: () => {
            if (this.#open === link) this.#leave(link);
          },
        });
        return link;
      } catch (error) {
        this.#endpoint = (this.#endpoint + 1) % endpoints.length;
        if (tries >= endpoints.length || this.#closed) throw error;
      }
    }
  }
}
