/**
 * The end of a request's audit trail, whatever it came to; a request that nobody could be made out behind begins it here, too.
 * Its beginning is `auditReceived`, which stands where it is known who asks.
 */
import type { Filter } from "./filter.ts";
import { finished } from "./response-finished.ts";

export const audit: Filter = async (context, env, next) => {
  if (env.audit === undefined) return next();
  try {
    await next();
    if (context.longRunning) await finished(context);
  } finally {
    context.audit ??= context.user === undefined ? env.audit.begin(context) : undefined;
    await context.audit?.stage("ResponseComplete");
  }
};

/** Asks the policy, and records that the request came. */
export const auditReceived: Filter = (context, env, next) => {
  if (env.audit === undefined) return next();
  context.audit = env.audit.begin(context);
  const waits = context.audit?.stage("RequestReceived");
  return waits === undefined ? next() : waits.then(next);
};
