/** Decides whether the user may do it; a refusal is 403 in upstream's words, which tools parse and people read. */
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import type { UserInfo } from "../../authn/types.ts";
import { forbiddenError } from "../../authz/forbidden.ts";
import { readRawFields, readRawLabels } from "../../authz/selector-attributes.ts";
import type { AuthorizerAttributes, Decision, ResourceAttributes } from "../../authz/types.ts";
import type { RequestContext } from "../request-context.ts";
import type { Filter, Next } from "./filter.ts";

export const authorization: Filter = (context, env, next) => {
  if (context.user === undefined) throw statusErrors.unauthorized();
  const attributes = attributesOf(context, context.user);
  const decision = env.authorizer.authorize(attributes);
  // Nearly always at once, and then nobody need wait for it.
  if (!(decision instanceof Promise)) return decided(context, attributes, decision, next);
  return decision.then((late) => decided(context, attributes, late, next));
};

function decided(
  context: RequestContext,
  attributes: AuthorizerAttributes,
  decision: Decision,
  next: Next,
): Promise<void> {
  if (decision.verdict !== "allowed") {
    // Just after a start nobody knows yet who may do what; a 403 would be final for clients that would be let in.
    if (decision.notLoaded === true) throw statusErrors.serviceUnavailable(decision.reason, 1);
    context.annotate("authorization.k8s.io/decision", "forbid");
    context.annotate("authorization.k8s.io/reason", decision.reason);
    throw forbiddenError(attributes, decision.reason);
  }
  context.annotate("authorization.k8s.io/decision", "allow");
  context.annotate("authorization.k8s.io/reason", decision.reason);
  return next(context);
}

export function attributesOf(context: RequestContext, user: UserInfo): AuthorizerAttributes {
  const { info } = context;
  if (!info.isResourceRequest) return { kind: "nonResource", user, verb: info.verb, path: info.path };
  return {
    kind: "resource",
    user,
    verb: info.verb,
    apiGroup: info.group,
    apiVersion: info.version,
    resource: info.resource,
    subresource: info.subresource,
    namespace: info.namespace,
    name: info.name,
    ...selectorsOf(context.query, info.verb),
  };
}

const SELECTED_VERBS = ["list", "watch", "deletecollection"];

/**
 * What the request narrows itself to, so that an authorizer may allow just that (a kubelet its own node's pods). A
 * selector that can't be read narrows nothing here; the handler refuses it with 400. Source: KEP-4601
 */
function selectorsOf(
  query: URLSearchParams,
  verb: string,
): Pick<ResourceAttributes, "fieldSelector" | "labelSelector"> {
  if (!SELECTED_VERBS.includes(verb)) return {};
  const fields = readRawFields(query.get("fieldSelector") ?? "").requirements;
  const labels = readRawLabels(query.get("labelSelector") ?? "").requirements;
  return {
    ...(fields.length === 0 ? {} : { fieldSelector: fields }),
    ...(labels.length === 0 ? {} : { labelSelector: labels }),
  };
}
