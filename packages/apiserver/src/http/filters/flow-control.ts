/**
 * Fair use: a request that may not run now waits in its flow's queue, or is told to come back (429). Streams other than watches go
 * through; a watch holds its seats until its beginning is sent.
 */

import type { FlowRequest } from "../../flowcontrol/core/match.ts";
import { estimateWork } from "../../flowcontrol/core/work-estimate.ts";
import type { Classified, RejectReason } from "../../flowcontrol/flow-control.ts";
import { type Admission, type FlowControl, Rejected } from "../../flowcontrol/flow-control.ts";
import type { RequestContext } from "../request-context.ts";
import { sendText } from "../respond.ts";
import { isLongRunning } from "./deadline.ts";
import type { Filter, Next } from "./filter.ts";

/** What the filter asks of the rest of the server. */
export interface FairUse {
  readonly control: FlowControl;
  /** How many objects the resource has; undefined when nobody knows. */
  readonly countObjects: (of: { readonly group: string; readonly resource: string }) => number | undefined;
  /** Open watches by group and resource; kept by the filter. */
  readonly watchers: Map<string, number>;
}

export const flowControl: Filter = (context, env, next) => {
  const { fairUse } = env;
  const isWatch = context.info.verb === "watch" && context.info.isResourceRequest;
  if (fairUse === undefined || context.user === undefined || (!isWatch && isLongRunning(context))) return next(context);
  const request = requestOf(context);
  const at = fairUse.control.classify(request);
  if (at === undefined) return next(context);
  context.extraHeaders = headersOf(at);
  const work = workOf(context, fairUse, isWatch);
  const run = (admission: Admission) =>
    isWatch ? runWatch(context, fairUse, admission, next) : runRequest(context, admission, next);
  let admitted: Admission | Promise<Admission>;
  try {
    admitted = fairUse.control.admit(at, request, work, () => context.signal);
  } catch (error) {
    if (!(error instanceof Rejected)) throw error;
    return refuse(context, fairUse, at, error.reason);
  }
  if (!(admitted instanceof Promise)) return run(admitted);
  return admitted.then(run, (error: unknown) => {
    if (error instanceof Rejected) return refuse(context, fairUse, at, error.reason);
    throw error;
  });
};

function runRequest(context: RequestContext, admission: Admission, next: Next): Promise<void> {
  const running = next(context);
  running.then(admission.done, admission.done);
  return running;
}

function runWatch(context: RequestContext, { watchers }: FairUse, admission: Admission, next: Next): Promise<void> {
  const key = keyOf(context);
  context.onWatchInitialized = admission.done;
  watchers.set(key, (watchers.get(key) ?? 0) + 1);
  return next(context).finally(() => {
    admission.done();
    const left = (watchers.get(key) ?? 1) - 1;
    if (left === 0) watchers.delete(key);
    else watchers.set(key, left);
  });
}

function keyOf({ info }: RequestContext): string {
  return `${info.group}/${info.resource}`;
}

function requestOf({ info, user }: RequestContext): FlowRequest {
  const { isResourceRequest, verb, group, resource, subresource, namespace, path } = info;
  const { name = "", groups = [] } = user ?? {};
  return { user: { name, groups }, isResourceRequest, verb, group, resource, subresource, namespace, path };
}

function workOf(context: RequestContext, fairUse: FairUse, isWatch: boolean): ReturnType<typeof estimateWork> {
  const { info, query } = context;
  const isList = info.verb === "list" || info.verb === "deletecollection";
  return estimateWork({
    verb: info.isResourceRequest ? info.verb : "",
    name: info.name,
    limit: isList ? Number(query.get("limit") ?? 0) || 0 : 0,
    initialEvents: isWatch && query.get("sendInitialEvents") === "true",
    objects: isList || isWatch ? fairUse.countObjects(info) : undefined,
    watchers: fairUse.watchers.get(keyOf(context)) ?? 0,
  });
}

const known = new WeakMap<
  Classified["schema"],
  { readonly level: string; readonly headers: Readonly<Record<string, string>> }
>();

function headersOf({ schema, level }: Classified): Readonly<Record<string, string>> {
  const found = known.get(schema);
  if (found !== undefined && found.level === level.uid) return found.headers;
  const headers = {
    "x-kubernetes-pf-flowschema-uid": schema.uid,
    "x-kubernetes-pf-prioritylevel-uid": level.uid,
  };
  known.set(schema, { level: level.uid, headers });
  return headers;
}

/** Source: k8s.io/apiserver/pkg/server/filters/priority-and-fairness.go */
function refuse(
  context: RequestContext,
  { control }: FairUse,
  { level }: Classified,
  reason: RejectReason,
): Promise<void> {
  // Nobody is there to read it.
  if (reason === "cancelled") return Promise.resolve();
  context.extraHeaders = { ...context.extraHeaders, "retry-after": String(control.retryAfterSeconds(level)) };
  return sendText(context, 429, "Too many requests, please try again later.\n");
}
