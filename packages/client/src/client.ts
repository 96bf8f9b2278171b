/**
 * The Kubernetes REST API with types: one method per verb, over one connection pool.
 *
 * Every failure is a StatusError (the server's answer), a ConnectionError (no usable answer), or the reason of the
 * caller's AbortSignal. Nothing is retried but what the server asks to be (Retry-After) and reads on stale connections.
 */
import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import type { KubeList, KubeObject } from "@knarr/apimachinery/object.ts";
import { keyOf } from "@knarr/apimachinery/object.ts";
import {
  apiVersionOf,
  type ObjectKey,
  objectPath,
  type ResourceRef,
  resourcePath,
} from "@knarr/apimachinery/resource.ts";
import { type Clock, systemClock } from "@knarr/daemon/clock.ts";
import type { WebSocket } from "ws";
import { decodeJson, encodeJson } from "./codec.ts";
import { ConnectionError } from "./connection-error.ts";
import { openWebSocket } from "./open-websocket.ts";
import type { RestConfig } from "./rest-config.ts";
import type { RateLimit } from "./token-bucket.ts";
import { type Query, type RawRequest, Transport } from "./transport.ts";
import { metadataAccept, type WatchEvent, type WatchOptions, watchResource } from "./watch-resource.ts";

export interface ClientOptions {
  readonly clock?: Clock | undefined;
  readonly userAgent?: string | undefined;
  /** Deadline of requests that name none; 60 s when absent. */
  readonly requestTimeoutMs?: number | undefined;
  /** How many requests may be sent, watches among them; without a limit when absent. */
  readonly rateLimit?: RateLimit | undefined;
  /** Called right before anything but a read is sent; what it throws ends the request unsent. */
  readonly beforeWrite?: (() => void) | undefined;
  /** Called with each Warning that an answer carries. */
  readonly onWarning?: ((text: string) => void) | undefined;
}
export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number | undefined;
}
export interface GetOptions extends CallOptions {
  readonly metadataOnly?: boolean | undefined;
  readonly resourceVersion?: string | undefined;
}
export interface ListOptions extends CallOptions {
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  readonly limit?: number | undefined;
  readonly continue?: string | undefined;
  readonly resourceVersion?: string | undefined;
  readonly resourceVersionMatch?: "Exact" | "NotOlderThan" | undefined;
  /** Asks for the objects' metadata alone; servers that can't do that send whole objects. */
  readonly metadataOnly?: boolean | undefined;
}
export interface WriteOptions extends CallOptions {
  readonly dryRun?: boolean | undefined;
  readonly fieldManager?: string | undefined;
  readonly fieldValidation?: "Ignore" | "Warn" | "Strict" | undefined;
}
export interface UpdateOptions extends WriteOptions {
  readonly subresource?: string | undefined;
}
export interface PatchOptions extends UpdateOptions {
  /** Server-side apply only: take over fields that others own. */
  readonly force?: boolean | undefined;
}
export interface Patch {
  readonly type: PatchType;
  readonly body: unknown;
}
export type PatchType = "json" | "merge" | "strategic" | "apply";
export type PropagationPolicy = "Foreground" | "Background" | "Orphan";
export interface DeleteOptions extends CallOptions {
  readonly gracePeriodSeconds?: number | undefined;
  readonly propagationPolicy?: PropagationPolicy | undefined;
  readonly preconditions?: { readonly uid?: string | undefined; readonly resourceVersion?: string | undefined };
  readonly dryRun?: boolean | undefined;
}
export interface DeleteCollectionOptions extends DeleteOptions {
  readonly namespace: string;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
}
export type { WatchEvent, WatchOptions } from "./watch-resource.ts";

const PATCH_CONTENT_TYPES: Readonly<Record<PatchType, string>> = {
  json: "application/json-patch+json",
  merge: "application/merge-patch+json",
  strategic: "application/strategic-merge-patch+json",
  apply: "application/apply-patch+yaml",
};

export class Client {
  readonly config: RestConfig;
  readonly #transport: Transport;
  readonly #clock: Clock;
  readonly #timeoutMs: number | undefined;

  constructor(config: RestConfig, options: ClientOptions = {}) {
    this.config = config;
    this.#clock = options.clock ?? systemClock;
    this.#timeoutMs = options.requestTimeoutMs;
    const userAgent = options.userAgent ?? config.userAgent ?? "knarr/v1.36.0";
    const { beforeWrite, onWarning, rateLimit } = options;
    this.#transport = new Transport(config, { clock: this.#clock, userAgent, beforeWrite, onWarning, rateLimit });
  }

  get<T>(ref: ResourceRef<T>, key: ObjectKey, options: GetOptions = {}): Promise<T> {
    const query = { resourceVersion: options.resourceVersion };
    const headers = options.metadataOnly === true ? { accept: metadataAccept("PartialObjectMetadata") } : {};
    return this.#json<T>({ method: "GET", path: objectPath(ref, key), query, headers, ...callOf(options) });
  }

  /** A subresource that is an object: status, scale. */
  getSubresource<R>(
    ref: ResourceRef<unknown>,
    key: ObjectKey,
    subresource: string,
    options: CallOptions = {},
  ): Promise<R> {
    return this.#json<R>({ method: "GET", path: objectPath(ref, key, subresource), ...callOf(options) });
  }

  /** One page; see `listAll` in list-all.ts for all of them. Items bear apiVersion and kind. */
  async list<T>(ref: ResourceRef<T>, options: ListOptions = {}): Promise<KubeList<T>> {
    const { namespace, signal: _signal, timeoutMs: _timeoutMs, metadataOnly, ...query } = options;
    const list = await this.#json<KubeList<T>>({
      method: "GET",
      path: resourcePath(ref, namespace),
      query: query as Query,
      headers: metadataOnly === true ? { accept: metadataAccept("PartialObjectMetadataList") } : {},
      ...callOf(options),
    });
    // A list's items come without their type; everything that handles single objects wants it.
    const items = (list.items ?? []) as (T & KubeObject)[];
    for (const item of items) {
      item.apiVersion ??= apiVersionOf(ref);
      item.kind ??= ref.kind;
    }
    list.items = items;
    return list;
  }

  /** The namespace is the object's own. */
  create<T>(ref: ResourceRef<T>, object: T, options: WriteOptions = {}): Promise<T> {
    const namespace = (object as KubeObject).metadata.namespace ?? "";
    return this.#write("POST", resourcePath(ref, namespace), object, options);
  }

  /** Replaces the object; a resourceVersion in it makes the update conditional (409 Conflict). */
  update<T>(ref: ResourceRef<T>, object: T, options: UpdateOptions = {}): Promise<T> {
    return this.#write("PUT", objectPath(ref, keyOf(object as KubeObject), options.subresource), object, options);
  }

  patch<T>(ref: ResourceRef<T>, key: ObjectKey, patch: Patch, options: PatchOptions = {}): Promise<T> {
    return this.#json<T>({
      method: "PATCH",
      path: objectPath(ref, key, options.subresource),
      query: { ...writeQuery(options), force: options.force },
      headers: { "content-type": PATCH_CONTENT_TYPES[patch.type] },
      body: typeof patch.body === "string" ? patch.body : encodeJson(patch.body),
      ...callOf(options),
    });
  }

  /** Returns the object as it goes (graceful, finalizers), or a Status. */
  delete(ref: ResourceRef<unknown>, key: ObjectKey, options: DeleteOptions = {}): Promise<unknown> {
    return this.#json({
      method: "DELETE",
      path: objectPath(ref, key),
      headers: { "content-type": "application/json" },
      body: encodeJson(deleteBody(options)),
      ...callOf(options),
    });
  }

  deleteCollection(ref: ResourceRef<unknown>, options: DeleteCollectionOptions): Promise<unknown> {
    const { namespace, labelSelector, fieldSelector } = options;
    return this.#json({
      method: "DELETE",
      path: resourcePath(ref, namespace),
      query: { labelSelector, fieldSelector },
      headers: { "content-type": "application/json" },
      body: encodeJson(deleteBody(options)),
      ...callOf(options),
    });
  }

  /** POSTs to a subresource: "binding", "eviction", "token". */
  createSubresource<R>(
    ref: ResourceRef<unknown>,
    key: ObjectKey,
    subresource: string,
    body: unknown,
    options: WriteOptions = {},
  ): Promise<R> {
    return this.#write("POST", objectPath(ref, key, subresource), body, options) as Promise<R>;
  }

  /**
   * Events until the server ends the stream (which is normal) or the signal aborts. Throws StatusError for a refused
   * request and for ERROR events (410 among them), ConnectionError when the stream is cut or silent for too long.
   */
  watch<T>(ref: ResourceRef<T>, options: WatchOptions): AsyncIterable<WatchEvent<T>> {
    return watchResource<T>(this.#transport, this.#clock, ref, options);
  }

  /** Any path of the server. Throws as all methods do, for 400 and above too. */
  request(request: RawRequest): Promise<{ status: number; headers: IncomingHttpHeaders; body: Buffer }> {
    return this.#transport.request(this.#withDeadline(request));
  }

  /** An answer that is read while it comes (logs -f); `timeoutMs` bounds the wait for its headers only. */
  stream(request: RawRequest): Promise<IncomingMessage> {
    return this.#transport.stream(this.#withDeadline(request));
  }

  /** An open WebSocket with one of `protocols` agreed; a refusal is the server's StatusError. */
  websocket(path: string, query: Query, protocols: readonly string[], options: CallOptions = {}): Promise<WebSocket> {
    return openWebSocket(this.#transport, { path, query, protocols, ...callOf(options) });
  }

  /** Ends all connections; the client can be used again and opens new ones. */
  close(): void {
    this.#transport.close();
  }

  async #json<T>(request: RawRequest): Promise<T> {
    const { body } = await this.#transport.request(this.#withDeadline(request));
    try {
      return decodeJson(body) as T;
    } catch (cause) {
      throw new ConnectionError(`${request.method} ${request.path}: the answer is not JSON`, { cause });
    }
  }

  #write<T>(method: string, path: string, object: T, options: WriteOptions): Promise<T> {
    return this.#json<T>({
      method,
      path,
      query: writeQuery(options),
      headers: { "content-type": "application/json" },
      body: encodeJson(object),
      ...callOf(options),
    });
  }

  #withDeadline(request: RawRequest): RawRequest {
    return request.timeoutMs === undefined && this.#timeoutMs !== undefined
      ? { ...request, timeoutMs: this.#timeoutMs }
      : request;
  }
}

function callOf(options: CallOptions): CallOptions {
  return { signal: options.signal, timeoutMs: options.timeoutMs };
}

function writeQuery(options: WriteOptions): Query {
  const { dryRun, fieldManager, fieldValidation } = options;
  return { dryRun: dryRun === true ? "All" : undefined, fieldManager, fieldValidation };
}

function deleteBody(options: DeleteOptions): object {
  return {
    kind: "DeleteOptions",
    apiVersion: "v1",
    gracePeriodSeconds: options.gracePeriodSeconds,
    propagationPolicy: options.propagationPolicy,
    preconditions: options.preconditions,
    dryRun: options.dryRun === true ? ["All"] : undefined,
  };
}
