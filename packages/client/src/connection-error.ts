/** A request that got no usable answer: refused, reset, timed out, cut in the middle. Always worth a retry later. */
export class ConnectionError extends Error {
  override readonly name = "ConnectionError";
  /** The system's code ("ECONNREFUSED", "ECONNRESET"), "ETIMEDOUT" for our own deadlines, "" when there is none. */
  readonly code: string;

  constructor(message: string, options: { readonly cause?: unknown; readonly code?: string } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = options.code ?? codeOf(options.cause);
  }
}

function codeOf(cause: unknown): string {
  if (cause instanceof Error && "code" in cause && typeof cause.code === "string") return cause.code;
  return "";
}
