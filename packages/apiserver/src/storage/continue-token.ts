/**
 * Continue tokens, as upstream encodes them: where the next page starts, relative to the folder listed, and at which version.
 * Source: k8s.io/apiserver/pkg/storage/continue.go
 */
import { type StatusError, statusErrors } from "@knarr/apimachinery/status-error.ts";
import type { StorageError } from "./storage-error.ts";

export interface ContinuePoint {
  /** First key of the next page. */
  readonly startKey: string;
  /** -1: the newest state, whatever the first pages showed (an "inconsistent" continuation after compaction). */
  readonly revision: number;
}

/** The token for the page that begins right after `lastKey`. `prefix` is the folder listed. */
export function encodeContinue(prefix: string, lastKey: string, revision: number): string {
  const token = { v: "meta.k8s.io/v1", rv: revision, start: `${lastKey.slice(prefix.length)}\0` };
  return Buffer.from(JSON.stringify(token)).toString("base64url");
}

/** Throws BadRequest for anything that this server did not hand out for this folder. */
export function decodeContinue(prefix: string, token: string): ContinuePoint {
  let parsed: unknown;
  try {
    parsed = JSON.parse(Buffer.from(token, "base64url").toString());
  } catch {
    // Base64 or JSON that a client made up: said below.
  }
  const { v, rv, start } = (typeof parsed === "object" && parsed !== null ? parsed : {}) as Record<string, unknown>;
  if (v !== "meta.k8s.io/v1")
    throw invalidToken("continue key is not valid: server does not recognize this encoded version");
  if (typeof rv !== "number" || !Number.isSafeInteger(rv) || rv === 0 || rv < -1) {
    throw invalidToken("continue key is not valid: incorrect encoded start resourceVersion (version meta.k8s.io/v1)");
  }
  if (typeof start !== "string" || start === "") {
    throw invalidToken("continue key is not valid: encoded start key empty (version meta.k8s.io/v1)");
  }
  return { startKey: prefix + start, revision: rv };
}

function invalidToken(why: string): StatusError {
  return statusErrors.badRequest(`invalid continue token: ${why}`);
}

const EXPIRED_TOKEN =
  "The provided continue parameter is too old to display a consistent list result. You can start a new list without the " +
  "continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the " +
  "provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first " +
  "chunk was returned and now may show up in the list.";

/** 410 with a token that goes on from the same place in the newest state. */
export function expiredContinue(prefix: string, point: ContinuePoint, cause: StorageError): StatusError {
  const lastKey = point.startKey.endsWith("\0") ? point.startKey.slice(0, -1) : point.startKey;
  const error = statusErrors.expired(EXPIRED_TOKEN, encodeContinue(prefix, lastKey, -1));
  error.cause = cause;
  return error;
}

/** A resourceVersion parameter as a revision; undefined for "" and absent. Throws BadRequest. */
export function parseResourceVersion(text: string | undefined): number | undefined {
  if (text === undefined || text === "") return undefined;
  const revision = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(revision)) {
    throw statusErrors.badRequest(
      `invalid resource version: strconv.ParseUint: parsing ${JSON.stringify(text)}: invalid syntax`,
    );
  }
  return revision;
}

/** 504 for a version that this server has not seen. Source: k8s.io/apiserver/pkg/storage/errors.go NewTooLargeResourceVersionError */
export function tooLargeResourceVersion(asked: number, current: number): StatusError {
  const error = statusErrors.timeout(`Too large resource version: ${asked}, current: ${current}`, 1);
  error.status.details = {
    ...error.status.details,
    causes: [{ reason: "ResourceVersionTooLarge", message: "Too large resource version" }],
  };
  return error;
}

/** 410 for a watch that starts before the window of events. */
export function tooOldResourceVersion(asked: number, oldest: number): StatusError {
  return statusErrors.expired(`too old resource version: ${asked} (${oldest})`);
}

/** What a `resourceVersion`/`resourceVersionMatch`/`limit`/`continue` combination asks of a list. */
export type ListVersion =
  | { readonly kind: "consistent" }
  | { readonly kind: "any" }
  | { readonly kind: "notOlderThan"; readonly revision: number }
  | { readonly kind: "exact"; readonly revision: number }
  | { readonly kind: "continue"; readonly point: ContinuePoint };

/**
 * Reads a list's version parameters. Throws BadRequest.
 * Source: docs reference/using-api/api-concepts#semantics-for-get-and-list
 */
export function listVersionOf(
  prefix: string,
  options: {
    readonly resourceVersion?: string;
    readonly resourceVersionMatch?: string;
    readonly limit?: number;
    readonly continue?: string;
  },
): ListVersion {
  const revision = parseResourceVersion(options.resourceVersion);
  const match = options.resourceVersionMatch ?? "";
  if (options.continue !== undefined && options.continue !== "") {
    if (revision !== undefined && revision !== 0) {
      throw statusErrors.badRequest("specifying resource version is not allowed when using continue");
    }
    return { kind: "continue", point: decodeContinue(prefix, options.continue) };
  }
  if (revision === undefined) return { kind: "consistent" };
  if (match === "Exact") return { kind: "exact", revision };
  if (revision === 0) return { kind: "any" };
  // A page at a version without a match rule means exactly that version: the rule from before resourceVersionMatch existed.
  if (match === "" && (options.limit ?? 0) > 0) return { kind: "exact", revision };
  return { kind: "notOlderThan", revision };
}
