/**
 * The error that crosses the wire: a `Status` object with its HTTP code, as the server sends it and the client throws it.
 * Source: api-conventions#response-status-kind; wording after k8s.io/apimachinery/pkg/api/errors.
 */
import type { Status, StatusCause, StatusDetails } from "./generated/meta-v1.ts";
import { aggregateText, quoteGo } from "./go-text.ts";

/** Every reason that Knarr sends. Source: k8s.io/apimachinery/pkg/apis/meta/v1/types.go */
export const StatusReason = {
  Unauthorized: "Unauthorized",
  Forbidden: "Forbidden",
  NotFound: "NotFound",
  AlreadyExists: "AlreadyExists",
  Conflict: "Conflict",
  Gone: "Gone",
  Expired: "Expired",
  Invalid: "Invalid",
  ServerTimeout: "ServerTimeout",
  Timeout: "Timeout",
  TooManyRequests: "TooManyRequests",
  BadRequest: "BadRequest",
  MethodNotAllowed: "MethodNotAllowed",
  NotAcceptable: "NotAcceptable",
  RequestEntityTooLarge: "RequestEntityTooLarge",
  UnsupportedMediaType: "UnsupportedMediaType",
  InternalError: "InternalError",
  ServiceUnavailable: "ServiceUnavailable",
} as const;
export type StatusReason = (typeof StatusReason)[keyof typeof StatusReason];

/** A group and a resource (or kind), for messages and details. */
export interface QualifiedName {
  readonly group: string;
  readonly resource: string;
}

/** One complaint of validation. `type` is upstream's cause reason. Source: k8s.io/apimachinery/pkg/util/validation/field */
export interface FieldError {
  readonly type:
    | "FieldValueRequired"
    | "FieldValueInvalid"
    | "FieldValueNotSupported"
    | "FieldValueDuplicate"
    | "FieldValueForbidden"
    | "FieldValueNotFound"
    | "FieldValueTooLong"
    | "FieldValueTooShort"
    | "FieldValueTooMany"
    | "FieldValueTooFew"
    | "FieldValueTypeInvalid"
    | "InternalError";
  /** "spec.containers[0].name" */
  readonly field: string;
  /** The whole text after the path: `Required value`, `Invalid value: 70000: must be between 1 and 65535, inclusive`. */
  readonly message: string;
}

export class StatusError extends Error {
  readonly status: Status;

  constructor(status: Status, options?: ErrorOptions) {
    super(status.message ?? status.reason ?? "unknown error", options);
    this.name = "StatusError";
    this.status = status;
  }

  /** HTTP status code. */
  get code(): number {
    return this.status.code ?? 500;
  }

  get reason(): string {
    return this.status.reason ?? "";
  }
}

function failure(code: number, reason: StatusReason, message: string, details?: StatusDetails): StatusError {
  return new StatusError({
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Failure",
    message,
    reason,
    ...(details === undefined ? {} : { details }),
    code,
  });
}

/** "deployments.apps", or "pods" in the core group. */
export function qualified(of: QualifiedName): string {
  return of.group === "" ? of.resource : `${of.resource}.${of.group}`;
}

function detailsOf(of: QualifiedName, name: string): StatusDetails {
  return { ...(name === "" ? {} : { name }), ...(of.group === "" ? {} : { group: of.group }), kind: of.resource };
}

/** Paths that are no resource have neither a group nor a resource to name. */
function forbiddenThing(of: QualifiedName, name: string): string {
  if (of.group === "" && of.resource === "") return "";
  return name === "" ? `${qualified(of)} is ` : `${qualified(of)} ${quoteGo(name)} is `;
}

export const statusErrors = {
  notFound: (of: QualifiedName, name: string) =>
    failure(404, StatusReason.NotFound, `${qualified(of)} ${quoteGo(name)} not found`, detailsOf(of, name)),
  /** A path that is no resource. */
  pathNotFound: () => failure(404, StatusReason.NotFound, "the server could not find the requested resource", {}),
  alreadyExists: (of: QualifiedName, name: string) =>
    failure(409, StatusReason.AlreadyExists, `${qualified(of)} ${quoteGo(name)} already exists`, detailsOf(of, name)),
  /** Every name that was generated was taken. */
  generateNameConflict: (of: QualifiedName, name: string, retryAfterSeconds = 1) =>
    failure(
      409,
      StatusReason.AlreadyExists,
      `${qualified(of)} ${quoteGo(name)} already exists, the server was not able to generate a unique name for the object`,
      { ...detailsOf(of, name), retryAfterSeconds },
    ),
  conflict: (of: QualifiedName, name: string, why: string) =>
    failure(
      409,
      StatusReason.Conflict,
      `Operation cannot be fulfilled on ${qualified(of)} ${quoteGo(name)}: ${why}`,
      detailsOf(of, name),
    ),
  /** The optimistic-concurrency conflict, in upstream's words. */
  staleVersion: (of: QualifiedName, name: string) =>
    statusErrors.conflict(
      of,
      name,
      "the object has been modified; please apply your changes to the latest version and try again",
    ),
  /** Server-side apply met fields of other managers; each cause names one. */
  applyConflict: (message: string, causes: StatusCause[]) => failure(409, StatusReason.Conflict, message, { causes }),
  invalid: (group: string, kind: string, name: string, errors: readonly FieldError[]) => {
    const causes: StatusCause[] = errors.map((e) => ({ reason: e.type, message: e.message, field: e.field }));
    const texts = errors.map((e) => `${e.field}: ${e.message}`);
    const why = texts.length === 0 ? "" : `: ${aggregateText(texts)}`;
    const kindName = group === "" ? kind : `${kind}.${group}`;
    return failure(422, StatusReason.Invalid, `${kindName} ${quoteGo(name)} is invalid${why}`, {
      ...(name === "" ? {} : { name }),
      ...(group === "" ? {} : { group }),
      kind,
      causes,
    });
  },
  /** The body breaks rules of decoding: unknown and repeated fields. `errors` as strict-decode.ts finds them. */
  strictDecoding: (errors: readonly string[]) =>
    failure(400, StatusReason.BadRequest, `strict decoding error: ${errors.join(", ")}`),
  badRequest: (message: string) => failure(400, StatusReason.BadRequest, message),
  unauthorized: () => failure(401, StatusReason.Unauthorized, "Unauthorized"),
  forbidden: (of: QualifiedName, name: string, why: string) =>
    failure(403, StatusReason.Forbidden, `${forbiddenThing(of, name)}forbidden: ${why}`, detailsOf(of, name)),
  expired: (message: string, continueToken?: string) => {
    const error = failure(410, StatusReason.Expired, message);
    if (continueToken !== undefined) error.status.metadata = { continue: continueToken };
    return error;
  },
  methodNotSupported: (of: QualifiedName, verb: string) =>
    failure(
      405,
      StatusReason.MethodNotAllowed,
      `${verb} is not supported on resources of kind ${quoteGo(qualified(of))}`,
      detailsOf(of, ""),
    ),
  /** A path that is known, but not with this method. */
  pathMethodNotAllowed: () =>
    failure(405, StatusReason.MethodNotAllowed, "the server does not allow this method on the requested resource", {}),
  notAcceptable: (accepted: readonly string[]) =>
    failure(406, StatusReason.NotAcceptable, `only the following media types are accepted: ${accepted.join(", ")}`),
  unsupportedMediaType: (accepted: readonly string[]) =>
    failure(
      415,
      StatusReason.UnsupportedMediaType,
      `the body of the request was in an unknown format - accepted media types include: ${accepted.join(", ")}`,
    ),
  tooLarge: (limitBytes: number) =>
    failure(413, StatusReason.RequestEntityTooLarge, `Request entity too large: limit is ${limitBytes}`),
  /** The same for a limit that is not one of bytes. */
  requestTooLarge: (why: string) =>
    failure(413, StatusReason.RequestEntityTooLarge, `Request entity too large: ${why}`),
  tooManyRequests: (message: string, retryAfterSeconds: number) =>
    failure(429, StatusReason.TooManyRequests, message, { retryAfterSeconds }),
  /** Something took too long and may be asked again: a 500, unlike `timeout`. */
  serverTimeout: (of: QualifiedName, operation: string, retryAfterSeconds = 1) =>
    failure(
      500,
      StatusReason.ServerTimeout,
      `The ${operation} operation against ${qualified(of)} could not be completed at this time, please try again.`,
      { ...detailsOf(of, operation), retryAfterSeconds },
    ),
  timeout: (message: string, retryAfterSeconds = 0) =>
    failure(504, StatusReason.Timeout, `Timeout: ${message}`, retryAfterSeconds === 0 ? {} : { retryAfterSeconds }),
  serviceUnavailable: (message: string, retryAfterSeconds = 1) =>
    failure(503, StatusReason.ServiceUnavailable, message, { retryAfterSeconds }),
  /** A bug or an outage of ours; `cause` is for our log, the message for the client. */
  internal: (message: string, cause?: unknown) => {
    const error = failure(500, StatusReason.InternalError, `Internal error occurred: ${message}`, {
      causes: [{ message }],
    });
    if (cause !== undefined) error.cause = cause;
    return error;
  },
  /** An error that upstream sends as it is, without a reason: its clients show no "(InternalError)". */
  unspecified: (message: string) =>
    new StatusError({ kind: "Status", apiVersion: "v1", metadata: {}, status: "Failure", message, code: 500 }),
} as const;

/** Whether `error` is a Status with this reason: `isReason(error, StatusReason.NotFound)`. */
export function isReason(error: unknown, reason: StatusReason): error is StatusError {
  return error instanceof StatusError && error.reason === reason;
}
export const isNotFound = (error: unknown) => isReason(error, StatusReason.NotFound);
export const isAlreadyExists = (error: unknown) => isReason(error, StatusReason.AlreadyExists);
export const isConflict = (error: unknown) => isReason(error, StatusReason.Conflict);
/** 410 in either form: the version asked for is gone, list again. */
export const isExpired = (error: unknown) =>
  isReason(error, StatusReason.Expired) || isReason(error, StatusReason.Gone);
