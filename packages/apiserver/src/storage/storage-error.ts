/**
 * Errors of the key-value store, declared once: what happened, whether the same read may be tried again, and how a client is told.
 */
import { statusErrors } from "@knarr/apimachinery/status-error.ts";

export type StorageErrorCode =
  /** The history asked for has been compacted away. */
  | "compacted"
  /** The revision asked for does not exist yet. */
  | "future-revision"
  /** etcd cannot be reached, has no leader, or is shutting down. A write may or may not have happened. */
  | "unavailable"
  /** No member of etcd took the request: it has certainly not happened. */
  | "unreachable"
  /** No answer in time. A write may or may not have happened. */
  | "timeout"
  /** etcd is over its quota: reads work, writes do not. */
  | "no-space"
  | "too-many-requests"
  /** The request is larger than etcd takes (1.5 MiB by default). */
  | "too-large"
  | "lease-not-found"
  /** The caller's signal aborted. */
  | "canceled"
  | "internal";

export class StorageError extends Error {
  override readonly name = "StorageError";
  readonly code: StorageErrorCode;
  /** With "compacted": the oldest revision still there, if known. */
  readonly compactRevision: number | undefined;

  constructor(code: StorageErrorCode, message: string, options?: ErrorOptions & { readonly compactRevision?: number }) {
    super(message, options);
    this.code = code;
    this.compactRevision = options?.compactRevision;
  }
}

export function isStorageError(error: unknown, code?: StorageErrorCode): error is StorageError {
  return error instanceof StorageError && (code === undefined || error.code === code);
}

/** Whether the link or etcd failed, rather than the request. */
export function isOutage(error: unknown): boolean {
  return error instanceof StorageError && ["unavailable", "unreachable", "timeout"].includes(error.code);
}

/**
 * The error that a client of the API gets for `error`; anything but a StorageError comes back unchanged.
 * Reads that met an outage carry Retry-After, so that client-go tries again by itself. Writes do not: the write may have happened.
 * Differs from upstream: upstream answers 500 with the raw gRPC text, because it has no rule of its own for etcd's outages.
 */
export function toStatusError(error: unknown, operation: "read" | "write"): unknown {
  if (!(error instanceof StorageError)) return error;
  const caused = (made: Error) => {
    made.cause = error;
    return made;
  };
  switch (error.code) {
    case "compacted":
      return caused(statusErrors.expired("The resourceVersion for the provided list is too old."));
    case "future-revision":
      return caused(statusErrors.timeout("Too large resource version", 1));
    case "unavailable":
      return caused(
        operation === "read"
          ? statusErrors.serviceUnavailable("the storage is not available, try again", 1)
          : statusErrors.timeout("the storage did not confirm the write; it may or may not have happened"),
      );
    case "unreachable":
      // Nothing was sent, so that writes may be repeated without a thought, too.
      return caused(statusErrors.serviceUnavailable("the storage is not available, try again", 1));
    case "timeout":
      return caused(
        operation === "read"
          ? statusErrors.timeout("the storage did not answer in time", 1)
          : statusErrors.timeout("the storage did not confirm the write; it may or may not have happened"),
      );
    case "canceled":
      return caused(statusErrors.timeout("request did not complete within the allotted timeout"));
    case "too-many-requests":
      return caused(statusErrors.tooManyRequests("the storage is overloaded, try again later", 1));
    case "too-large":
      return caused(statusErrors.tooLarge(1_572_864));
    case "no-space":
    case "lease-not-found":
    case "internal":
      return statusErrors.internal(error.message, error);
    default:
      throw new Error(`unknown storage error ${error.code satisfies never}`);
  }
}
