/** The one error that runtime calls fail with. Its message has gRPC's form, since it is shown in pod statuses and events. */

export type RuntimeErrorCode =
  | "Canceled"
  | "Unknown"
  | "InvalidArgument"
  | "DeadlineExceeded"
  | "NotFound"
  | "AlreadyExists"
  | "PermissionDenied"
  | "ResourceExhausted"
  | "FailedPrecondition"
  | "Aborted"
  | "OutOfRange"
  | "Unimplemented"
  | "Internal"
  | "Unavailable"
  | "DataLoss"
  | "Unauthenticated";

export class RuntimeError extends Error {
  readonly code: RuntimeErrorCode;
  /** The runtime's own words, without gRPC's prefix. */
  readonly detail: string;

  constructor(code: RuntimeErrorCode, detail: string, options?: ErrorOptions) {
    super(`rpc error: code = ${code} desc = ${detail}`, options);
    this.name = "RuntimeError";
    this.code = code;
    this.detail = detail;
  }
}

/** Whether an error says that the runtime does not know the thing asked for. */
export function isRuntimeNotFound(error: unknown): boolean {
  return error instanceof RuntimeError && error.code === "NotFound";
}
