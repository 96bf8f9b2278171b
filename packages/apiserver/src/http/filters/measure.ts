/** Counts and times requests under upstream's metric names. */
import { isTrue } from "../request-info.ts";
import type { Filter } from "./filter.ts";
import { finished } from "./response-finished.ts";

const METHODS = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);

export const measure: Filter = async (context, env, next) => {
  const { info } = context;
  const startedMs = env.clock.monotonicMs();
  const kind = info.verb === "get" || info.verb === "list" || info.verb === "watch" ? "readOnly" : "mutating";
  env.metrics.inflight.inc({ request_kind: kind });
  const end = () => {
    env.metrics.inflight.dec({ request_kind: kind });
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
      verb: METHODS.has(context.method) ? (known ? info.verb : context.method).toUpperCase() : "OTHER",
      group: known ? info.group : "",
      version: known ? info.version : "",
      resource: known ? info.resource : "",
      subresource: known ? info.subresource : "",
      scope,
      component: "apiserver",
    };
    const dryRun = isTrue(context.query.get("dryRun")) ? "All" : "";
    env.metrics.requests.inc({ ...labels, dry_run: dryRun, code: context.statusCode });
    if (!context.longRunning) {
      env.metrics.durations.observe({ ...labels, dry_run: dryRun }, (env.clock.monotonicMs() - startedMs) / 1000);
    }
  };
  try {
    await next();
    if (context.longRunning) await finished(context);
  } finally {
    end();
  }
};
