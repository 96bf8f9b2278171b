/**
 * Without priority and fairness: as many reading and as many writing requests at once as the flags allow, the rest is told to come
 * back. Source: k8s.io/apiserver/pkg/server/filters/maxinflight.go
 */
import { sendText } from "../respond.ts";
import { isLongRunning } from "./deadline.ts";
import type { Filter } from "./filter.ts";

export interface InFlightLimits {
  /** 0: no limit. */
  readonly reading: number;
  readonly writing: number;
}

const READING_VERBS = new Set(["get", "list", "watch"]);

/** A filter with counters of its own. */
export function maxInFlight(limits: InFlightLimits): Filter {
  const now = { reading: 0, writing: 0 };
  return (context, _env, next) => {
    const kind = READING_VERBS.has(context.info.verb) ? "reading" : "writing";
    if (limits[kind] === 0 || isLongRunning(context)) return next(context);
    // Who administers the cluster must be able to in any case.
    if (now[kind] >= limits[kind] && context.user?.groups.includes("system:masters") !== true) {
      context.extraHeaders = { "retry-after": "1" };
      return sendText(context, 429, "Too many requests, please try again later.\n");
    }
    now[kind] += 1;
    return next(context).finally(() => {
      now[kind] -= 1;
    });
  };
}
