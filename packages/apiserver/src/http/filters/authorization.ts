/** Decides whether the user may do it; a refusal is 403 in upstream's words, which tools parse and people read. */
import { StatusError, statusErrors } from "@knarr/apimachinery/status-error.ts";
import type { UserInfo } from "../../authn/types.ts";
import type { AuthorizerAttributes, Decision } from "../../authz/types.ts";
import type { RequestContext } from "../request-context.ts";
import type { Filter } from "./filter.ts";

export const authorization: Filter = (context, env, next) => {
  if (context.user === undefined) throw statusErrors.unauthorized();
  const attributes = attributesOf(context, context.user);
  const decision = env.authorizer.authorize(attributes);
  if (decision.verdict !== "allowed") {
    context.auditAnnotations.set("authorization.k8s.io/decision", "forbid");
    context.auditAnnotations.set("authorization.k8s.io/reason", decision.reason);
    throw refuse(attributes, decision);
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

/** Source: k8s.io/apiserver/pkg/endpoints/handlers/responsewriters/errors.go */
export function refuse(attributes: AuthorizerAttributes, decision: Decision): StatusError {
  const user = JSON.stringify(attributes.user.name);
  const why = decision.reason === "" ? "" : `: ${decision.reason}`;
  if (attributes.kind === "nonResource") {
    return forbidden(
      `forbidden: User ${user} cannot ${attributes.verb} path ${JSON.stringify(attributes.path)}${why}`,
      {},
    );
  }
  const { verb, apiGroup, resource, subresource, namespace, name } = attributes;
  const full = subresource === "" ? resource : `${resource}/${subresource}`;
  const where = namespace === "" ? "at the cluster scope" : `in the namespace ${JSON.stringify(namespace)}`;
  const text = `User ${user} cannot ${verb} resource ${JSON.stringify(full)} in API group ${JSON.stringify(apiGroup)} ${where}${why}`;
  return statusErrors.forbidden({ group: apiGroup, resource }, name, text);
}

function forbidden(message: string, details: object): StatusError {
  return new StatusError({
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Failure",
    message,
    reason: "Forbidden",
    details,
    code: 403,
  });
}
