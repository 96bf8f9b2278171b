/** What gRPC's status and Node.js's errors mean to storage. */
import { StorageError, type StorageErrorCode } from "../storage-error.ts";

/** gRPC status codes. Source: grpc.github.io/grpc/core/md_doc_statuscodes.html */
const CODES: Readonly<Record<string, StorageErrorCode>> = {
  "1": "canceled",
  "4": "timeout",
  "14": "unavailable",
};

/** etcd tells some causes apart only by text. Source: etcd api/v3rpc/rpctypes/error.go */
const TEXTS: readonly (readonly [string, StorageErrorCode])[] = [
  ["required revision has been compacted", "compacted"],
  ["required revision is a future revision", "future-revision"],
  ["database space exceeded", "no-space"],
  ["too many requests", "too-many-requests"],
  ["request is too large", "too-large"],
  ["received message larger than max", "too-large"],
  ["requested lease not found", "lease-not-found"],
  // Said before a request is proposed to the other members: it has not happened.
  ["no leader", "unreachable"],
  ["server stopped", "unavailable"],
  ["leader changed", "unavailable"],
  ["request timed out", "timeout"],
];

/** The error that headers or trailers carry; undefined when they carry none. */
export function errorOfStatus(headers: Readonly<Record<string, unknown>>): StorageError | undefined {
  const status = headers["grpc-status"];
  if (status === undefined) {
    const code = Number(headers[":status"] ?? 200);
    return code === 200 ? undefined : new StorageError("unavailable", `etcd answered with HTTP ${code}`);
  }
  if (status === "0") return undefined;
  const message = decoded(String(headers["grpc-message"] ?? ""));
  const byText = TEXTS.find(([text]) => message.includes(text))?.[1];
  return new StorageError(byText ?? CODES[String(status)] ?? "internal", message);
}

/** Messages are percent-encoded; a broken escape stands for itself. */
function decoded(message: string): string {
  try {
    return decodeURIComponent(message);
  } catch (error) {
    if (!(error instanceof URIError)) throw error;
    return message;
  }
}

/** A failed connection or stream as StorageError: what was under way may or may not have happened. */
export function storageErrorOf(error: unknown): StorageError {
  if (error instanceof StorageError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new StorageError("unavailable", `the connection to etcd failed: ${message}`, { cause: error });
}
