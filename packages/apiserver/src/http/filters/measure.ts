/** Counts and times requests under upstream's metric names. */
import { isTrue } from "../request-info.ts";
import type { Filter } from "./filter.ts";
import { finished } from "./response-finished.ts";

const METHODS = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);

const UPPER_CASE = new Map(
  ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"].map((verb) => [
    verb,
    verb.toUpperCase(),
  ]),
);

function upperCaseOf(verb: string): string {
  return UPPER_CASE.get(verb) ?? verb.toUpperCase();
}

export const measure: Filter = async (context, env, next) => {
  const { info } = context;
  const startedMs = env.clock.monotonicMs();
  const kind = info.verb === "get" || info.verb === "list" || info.verb === "watch" ? "readOnly" : "mutating";
  env.metrics.inflight[kind]++;
  const end = () => {
    env.metrics.inflight[kind]--;
    const scope = !info.isResourceRequest
      ? ""
      : info.name !== ""
        ? "resource"
        : info.namespace !== ""
          ? "namespace"
          : "cluster";
    // Only names that exist become labels: clients must not be able to make new time series.
    const known = context.resourceKnown;
    const labels = {
      verb: METHODS.has(context.method) ? (known ? upperCaseOf(info.verb) : context.method) : "OTHER",
      dryRun: isTrue(context.query.get("dryRun")) ? "All" : "",
      group: known ? info.group : "",
      version: known ? info.version : "",
      resource: known ? info.resource : "",
      subresource: known ? info.subresource : "",
      scope,
    };
    const seconds = context.longRunning ? undefined : (env.clock.monotonicMs() - startedMs) / 1000;
    env.metrics.requests.record(labels, context.statusCode, seconds);
  };
  try {
    await next(context);
    if (context.longRunning) await finished(context);
  } finally {
    end();
  }
};
