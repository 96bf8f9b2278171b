/**
 * The end of a request's audit trail, whatever it came to; a request that nobody could be made out behind begins it here, too.
 * Its beginning is `auditReceived`, which stands where it is known who asks.
 */
import type { Auditor } from "../../audit/auditor.ts";
import type { RequestContext } from "../request-context.ts";
import type { Filter, Next } from "./filter.ts";
import { finished } from "./response-finished.ts";

export const audit: Filter = (context, env, next) =>
  env.audit === undefined ? next(context) : audited(context, env.audit, next);

async function audited(context: RequestContext, auditor: Auditor, next: Next): Promise<void> {
  try {
    await next(context);
    if (context.longRunning) await finished(context);
  } finally {
    context.audit ??= context.user === undefined ? auditor.begin(context) : undefined;
    await context.audit?.stage(context.panicked ? "Panic" : "ResponseComplete");
  }
}

/** Asks the policy, and records that the request came. */
export const auditReceived: Filter = (context, env, next) => {
  if (env.audit === undefined) return next(context);
  context.audit = env.audit.begin(context);
  const waits = context.audit?.stage("RequestReceived");
  return waits === undefined ? next(context) : waits.then(() => next(context));
};
