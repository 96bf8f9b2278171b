/** What a filter is: it may answer, change the context, or pass the request on with `next`. */
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import type { Auditor } from "../../audit/auditor.ts";
import type { Authenticator } from "../../authn/types.ts";
import type { Authorizer } from "../../authz/types.ts";
import type { ServerMetrics } from "../../metrics.ts";
import type { RequestContext } from "../request-context.ts";
import type { FairUse } from "./flow-control.ts";

/** What filters may use; one per server. */
export interface FilterEnvironment {
  readonly log: Logger;
  readonly clock: Clock;
  readonly authenticator: Authenticator;
  readonly authorizer: Authorizer;
  readonly metrics: ServerMetrics;
  /** Absent when nothing is to be recorded. */
  readonly audit: Auditor | undefined;
  /** Absent when priority and fairness are off. */
  readonly fairUse: FairUse | undefined;
  /** Requests that are not long-running end after this. */
  readonly requestTimeoutMs: number;
}

/** Passes the request on. Rejects with what goes wrong, and never throws: whoever counts what is under way relies on it. */
export type Next = (context: RequestContext) => Promise<void>;
/** May throw. */
export type Filter = (context: RequestContext, env: FilterEnvironment, next: Next) => Promise<void>;

/** Runs `filters` in order around `handler`. */
export function chain(filters: readonly Filter[], env: FilterEnvironment, handler: Next): Next {
  return filters.reduceRight<Next>(
    (next, filter) => (context) => {
      try {
        return filter(context, env, next);
      } catch (error) {
        return Promise.reject(error);
      }
    },
    handler,
  );
}
