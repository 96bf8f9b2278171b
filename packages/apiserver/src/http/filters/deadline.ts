/** Ends requests that take too long; watches, logs and streams may take as long as they like. */
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import { parseGoDurationMs } from "@knarr/daemon/flags.ts";
import type { RequestContext } from "../request-context.ts";
import type { Filter } from "./filter.ts";

/** Source: k8s.io/kubernetes/cmd/kube-apiserver: BasicLongRunningRequestCheck. */
const LONG_RUNNING_SUBRESOURCES = new Set(["attach", "exec", "proxy", "log", "portforward"]);

export function isLongRunning(context: RequestContext): boolean {
  const { info } = context;
  return info.isResourceRequest && (info.verb === "watch" || LONG_RUNNING_SUBRESOURCES.has(info.subresource));
}

export const deadline: Filter = async (context, env, next) => {
  context.longRunning = isLongRunning(context);
  if (context.longRunning) return next();
  const limitMs = Math.min(env.requestTimeoutMs, askedTimeoutMs(context) ?? Number.POSITIVE_INFINITY);
  const late = Promise.withResolvers<never>();
  const cancel = env.clock.setTimeout(() => {
    const error = statusErrors.timeout("request did not complete within the allotted timeout");
    context.abort(error);
    late.reject(error);
  }, limitMs);
  try {
    await Promise.race([next(), late.promise]);
  } finally {
    cancel();
    // Settled or not, nobody waits for it any more.
    late.promise.catch(() => {});
  }
};

function askedTimeoutMs(context: RequestContext): number | undefined {
  const text = context.query.get("timeout");
  if (text === null || text === "") return undefined;
  try {
    const ms = parseGoDurationMs(/^\d+$/.test(text) ? `${text}s` : text);
    return ms > 0 ? ms : undefined;
  } catch {
    throw statusErrors.badRequest(`invalid timeout specified in the request URL - ${text}`);
  }
}
