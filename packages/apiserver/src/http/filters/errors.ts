/** Turns what handlers throw into Status answers; a bug is logged with its stack and answered with 500. */
import { StatusError } from "@knarr/apimachinery/status-error.ts";
import { breakOff, sendError, toStatusError } from "../respond.ts";
import type { Filter } from "./filter.ts";

export const errors: Filter = async (context, env, next) => {
  try {
    await next(context);
  } catch (error) {
    const status = toStatusError(error);
    // Nothing of ours throws anything else on purpose: upstream's word for it is a panic.
    context.panicked = !(error instanceof StatusError);
    if (status.code >= 500) {
      // Nobody waits any more, or upstream's 500 without a reason, which is a client's mistake (server-side apply).
      const harmless = context.response.destroyed || status.reason === "";
      const level = harmless ? "debug" : status.code === 500 ? "error" : "warn";
      env.log[level]({ err: error, method: context.method, path: context.path, code: status.code }, "request failed");
    }
    if (context.response.headersSent || context.statusCode !== 0) {
      // Too late for a Status: cutting the stream tells the client that the body is not whole.
      breakOff(context);
      context.upgrade?.socket.destroy();
      return;
    }
    await sendError(context, status);
    // An unread upload would keep an HTTP/1.1 connection from its next request.
    if (!context.request.complete) context.request.resume();
  }
};
