/** Writes one audit event per request, at its end. */

import type { Filter } from "./filter.ts";
import { finished } from "./response-finished.ts";

export const audit: Filter = async (context, env, next) => {
  if (env.audit === undefined) return next();
  try {
    await next();
    if (context.longRunning) await finished(context);
  } finally {
    env.audit.responseComplete(context);
  }
};
