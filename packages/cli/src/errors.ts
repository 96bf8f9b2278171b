/** Errors as kubectl words them, and the exit code they mean. */
import { StatusError } from "@knarr/apimachinery/status-error.ts";
import { BareError, CliError, RemoteExitError } from "./verb.ts";

/** One line or a few, without a newline at the end. */
export function describeError(error: unknown): string {
  if (error instanceof StatusError) {
    const { status } = error;
    if (status.reason === "Unauthorized") {
      return "error: You must be logged in to the server (Unauthorized)";
    }
    if (status.reason === "Invalid") return invalidText(error);
    return status.reason === undefined || status.reason === ""
      ? `Error from server: ${error.message}`
      : `Error from server (${status.reason}): ${error.message}`;
  }
  if (error instanceof RemoteExitError || error instanceof BareError) return error.message;
  // Without a message everything was told before.
  if (error instanceof CliError) return error.message === "" ? "" : `error: ${error.message}`;
  if (!(error instanceof Error)) return `error: ${String(error)}`;
  const cause = error.cause instanceof Error && !error.message.includes(error.cause.message) ? error.cause : undefined;
  return `error: ${error.message}${cause === undefined ? "" : `: ${cause.message}`}`;
}

/** Several causes get a line each, as kubectl shows them. A patch that does not fit has neither name nor causes. */
function invalidText(error: StatusError): string {
  const { details, message = "" } = error.status;
  const causes = details?.causes ?? [];
  const { kind = "", name = "" } = details ?? {};
  const what = kind === "" && name === "" ? "The request is invalid" : `The ${kind} "${name}" is invalid`;
  if (causes.length === 0) return what === "The request is invalid" && message !== "" ? `${what}: ${message}` : what;
  if (causes.length === 1) return `${what}: ${causes[0]?.field}: ${causes[0]?.message}`;
  return `${what}: \n${causes.map((c) => `* ${c.field}: ${c.message}`).join("\n")}`;
}

export function exitCodeOf(error: unknown): number {
  return error instanceof CliError ? error.exitCode : 1;
}
