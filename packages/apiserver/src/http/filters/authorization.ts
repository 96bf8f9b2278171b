/** Decides whether the user may do it; a refusal is 403 in upstream's words, which tools parse and people read. */
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import type { UserInfo } from "../../authn/types.ts";
import { forbiddenError } from "../../authz/forbidden.ts";
import type { AuthorizerAttributes } from "../../authz/types.ts";
import type { RequestContext } from "../request-context.ts";
import type { Filter } from "./filter.ts";

export const authorization: Filter = (context, env, next) => {
  if (context.user === undefined) throw statusErrors.unauthorized();
  const attributes = attributesOf(context, context.user);
  const decision = env.authorizer.authorize(attributes);
  if (decision.verdict !== "allowed") {
    context.auditAnnotations.set("authorization.k8s.io/decision", "forbid");
    context.auditAnnotations.set("authorization.k8s.io/reason", decision.reason);
    throw forbiddenError(attributes, decision.reason);
  }
  context.auditAnnotations.set("authorization.k8s.io/decision", "allow");
  context.auditAnnotations.set("authorization.k8s.io/reason", decision.reason);
  return next();
};

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
  };
}
