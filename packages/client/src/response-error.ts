/** Turns an HTTP answer of 400 and above into the StatusError that the server meant. */
import type { Status } from "@knarr/apimachinery/generated/meta-v1.ts";
import { StatusError } from "@knarr/apimachinery/status-error.ts";

/** Reasons for answers that carry no Status (a proxy's, say). Source: k8s.io/apimachinery NewGenericServerResponse */
const REASON_OF_CODE: Readonly<Record<number, string>> = {
  400: "BadRequest",
  401: "Unauthorized",
  403: "Forbidden",
  404: "NotFound",
  405: "MethodNotAllowed",
  406: "NotAcceptable",
  409: "Conflict",
  410: "Gone",
  413: "RequestEntityTooLarge",
  415: "UnsupportedMediaType",
  422: "Invalid",
  429: "TooManyRequests",
  500: "InternalError",
  503: "ServiceUnavailable",
  504: "Timeout",
};
const MAX_TEXT = 2048;

/** `what` names the request for the message of an answer that is no Status: "GET /api/v1/pods". */
export function responseError(code: number, body: Buffer, what: string): StatusError {
  const status = parseStatus(body);
  if (status !== undefined) return new StatusError({ ...status, code: status.code ?? code });
  const text = body.toString("utf8", 0, MAX_TEXT).trim();
  return new StatusError({
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Failure",
    reason: REASON_OF_CODE[code] ?? "Unknown",
    message: text === "" ? `the server answered ${what} with status ${code}` : text,
    code,
  });
}

function parseStatus(body: Buffer): Status | undefined {
  if (body[0] !== 0x7b) return undefined;
  try {
    const value: unknown = JSON.parse(body.toString("utf8"));
    if (typeof value === "object" && value !== null && "kind" in value && value.kind === "Status")
      return value as Status;
  } catch (error) {
    // Not JSON after all: the caller shows the text as it is.
    if (!(error instanceof SyntaxError)) throw error;
  }
  return undefined;
}
