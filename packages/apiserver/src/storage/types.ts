/**
 * What the API server's handlers know of storage: objects as bytes, one resource at a time.
 *
 * An object is stored as JSON without a resourceVersion. When it leaves the store its resourceVersion (etcd's mod revision) is spliced
 * in once, and that Buffer answers every GET, LIST and WATCH. Buffers are shared: never write into one.
 * All methods throw StatusError, ready to be sent to the client.
 */
import type { ObjectKey, ResourceRef } from "@knarr/apimachinery/resource.ts";

/** One object, as it is served. */
export interface StoredObject {
  readonly key: ObjectKey;
  /** The store's revision of the object's last write; resourceVersion is its decimal form. */
  readonly revision: number;
  /** JSON with metadata.resourceVersion. Shared with every reader: read-only. */
  readonly bytes: Buffer;
}

/** A label or field selector, as @knarr/apimachinery parses them. */
export interface Matcher {
  matches(values: Readonly<Record<string, string>>): boolean;
}

export interface ObjectSelector {
  /** "" or absent: all namespaces. */
  readonly namespace?: string;
  /** Only the object of this name (field selector metadata.name=x): an index, not a scan. Needs `namespace` for namespaced resources. */
  readonly name?: string;
  readonly labels?: Matcher;
  readonly fields?: Matcher;
}

export interface GetOptions {
  /** Absent: consistent (as new as the newest acknowledged write). "0": whatever is at hand. "N": not older than N. */
  readonly resourceVersion?: string;
  readonly signal?: AbortSignal;
}

/** Source: k8s.io/apimachinery/pkg/apis/meta/v1 ListOptions; the table of meanings: docs reference/using-api/api-concepts#resource-versions */
export interface ListOptions extends ObjectSelector {
  readonly resourceVersion?: string;
  readonly resourceVersionMatch?: "" | "Exact" | "NotOlderThan";
  /** 0 or absent: no paging. */
  readonly limit?: number;
  readonly continue?: string;
  readonly signal?: AbortSignal;
}

export interface ListPage {
  /** What the list is consistent with; a watch can start from it. */
  readonly resourceVersion: string;
  /** In key order. */
  readonly items: readonly StoredObject[];
  /** Absent on the last page. */
  readonly continueToken?: string;
  /** Objects after this page; only without label and field selectors, absent on the last page. */
  readonly remainingItemCount?: number;
}

export interface WatchOptions extends ObjectSelector {
  /** Absent: from now on, after a consistent list as synthetic ADDED events. "0": the same from any version. "N": events after N. */
  readonly resourceVersion?: string;
  readonly resourceVersionMatch?: "" | "Exact" | "NotOlderThan";
  /** true: state first, then a bookmark annotated k8s.io/initial-events-end, then events. false: events only. Absent: the old rules. */
  readonly sendInitialEvents?: boolean;
  readonly allowBookmarks?: boolean;
  /** When the request will end: a last bookmark is sent shortly before. Epoch ms. */
  readonly deadlineMs?: number;
  /** Ends the watch; iteration then finishes normally. */
  readonly signal: AbortSignal;
}

export type WatchEventType = "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK" | "ERROR";

/** One event as a watcher sees it (its selector decides between ADDED, MODIFIED and DELETED). Shared by watchers: read-only. */
export interface ObjectEvent {
  readonly type: WatchEventType;
  /**
   * The object after the event; for DELETED the last state, with the deletion's own resourceVersion. For BOOKMARK an object with nothing
   * but kind, apiVersion and metadata; for ERROR a Status.
   */
  readonly object: StoredObject;
  /** `{"type":"ADDED","object":{...}}\n`, made once and shared. */
  readonly frame: Buffer;
  /** Set on the bookmark that ends the initial events. */
  readonly initialEventsEnd?: boolean;
}

/**
 * An open watch. Each step yields what has queued up since the last one, in order. A reader that falls too far behind is dropped: the
 * iteration ends, and the client starts again from the last version it saw.
 */
export interface ObjectWatch extends AsyncIterable<readonly ObjectEvent[]> {
  /** Calls `listener` when the reader is dropped because it fell behind: it may be stuck in a write that never ends. */
  onDropped?(listener: () => void): void;
  /** Stops the watch at once; idempotent. */
  close(): void;
}

export interface ObjectReader {
  /** Throws NotFound. */
  get(key: ObjectKey, options?: GetOptions): Promise<StoredObject>;
  /** Throws BadRequest for a bad token or version, Expired when the version asked for is gone. */
  list(options: ListOptions): Promise<ListPage>;
  /** Throws Expired (410) when the version is too old, Timeout (504) when it lies in the future for more than 3 s. */
  watch(options: WatchOptions): Promise<ObjectWatch>;
}

/** What an update decides to do with the current object. Bytes carry no resourceVersion. */
export type UpdateDecision =
  | { readonly kind: "write"; readonly bytes: Buffer; readonly ttlSeconds?: number }
  /** Remove it, atomically with the check (the last finalizer went, or grace 0). */
  | { readonly kind: "delete" }
  /** Change nothing: the current object is the answer. */
  | { readonly kind: "keep" };

export interface UpdateResult {
  /** `unchanged`: the bytes were the same, nothing was written and no version was used up. */
  readonly outcome: "created" | "updated" | "unchanged" | "deleted";
  /** For `deleted`, the last state with the deletion's own resourceVersion. */
  readonly object: StoredObject;
}

export interface UpdateOptions {
  /**
   * A probably current object (from the cache) to try first, which saves a read. Should the decision throw, or the write collide, on a
   * suggestion, the current object is read and the decision is taken again, so that nobody is refused because of a stale suggestion.
   */
  readonly suggestion?: StoredObject;
  /** Let `decide` be called with undefined when the object does not exist; otherwise NotFound is thrown. */
  readonly createIfMissing?: boolean;
  readonly signal?: AbortSignal;
}

export interface ObjectWriter {
  /** Throws AlreadyExists. `bytes` carry no resourceVersion. */
  create(
    key: ObjectKey,
    bytes: Buffer,
    options?: { readonly ttlSeconds?: number; readonly signal?: AbortSignal },
  ): Promise<StoredObject>;
  /**
   * The guarded update: reads the object, lets `decide` (which may throw StatusError: preconditions, validation, admission) say what
   * shall be, and writes if nobody wrote in between; otherwise begins again. `decide` may run several times: no side effects.
   */
  update(
    key: ObjectKey,
    decide: (current: StoredObject | undefined) => Promise<UpdateDecision> | UpdateDecision,
    options?: UpdateOptions,
  ): Promise<UpdateResult>;
  /** Removes the object; `check` may refuse by throwing. Returns the last state with the deletion's own resourceVersion. */
  delete(
    key: ObjectKey,
    check?: (current: StoredObject) => Promise<void> | void,
    options?: { readonly suggestion?: StoredObject; readonly signal?: AbortSignal },
  ): Promise<StoredObject>;
}

/** Everything a handler does to one resource. */
export interface ResourceStorage extends ObjectReader, ObjectWriter {
  readonly config: ResourceStorageConfig;
  /** Number of objects (metrics: apiserver_storage_objects). */
  count(signal?: AbortSignal): Promise<number>;
}

export interface ResourceStorageConfig {
  /** The version in which objects are stored. */
  readonly ref: ResourceRef<unknown>;
  /** Folder below the root: "pods", "services/specs", "minions". Default: upstream's layout for the resource (key-layout.ts). */
  readonly folder?: string;
  /** Values for field selectors besides metadata.name and metadata.namespace. */
  readonly fieldsOf?: (object: unknown) => Record<string, string>;
  /** false: every read goes to etcd, as upstream does for events. Default true. */
  readonly cached?: boolean;
  /** Default time to live for created objects (events: 3600). */
  readonly ttlSeconds?: number;
}

/** A parsed view of one cached resource inside this process (RBAC objects, ServiceAccounts, pods for the Node authorizer). */
export interface ObjectView<T> {
  /** False until the cache holds a full state: "not synced" is an answer of its own. */
  readonly synced: boolean;
  get(key: ObjectKey): T | undefined;
  list(namespace?: string): readonly T[];
  /** Calls back for every object now and for every change later, in order. Objects are frozen. Returns the unsubscribe function. */
  subscribe(handler: ViewHandler<T>): () => void;
}

export interface ViewHandler<T> {
  set(object: T, previous: T | undefined): void;
  deleted(object: T): void;
  /** The whole state was replaced (a relist): forget everything; `set` follows for each object. */
  reset(): void;
}

/** The decimal form of a revision. */
export function resourceVersionOf(object: { readonly revision: number }): string {
  return String(object.revision);
}
