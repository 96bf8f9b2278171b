/**
 * The 403 that a refused request gets, in upstream's words.
 * Source: k8s.io/apiserver/pkg/endpoints/handlers/responsewriters/errors.go
 */
import { StatusError, statusErrors } from "@knarr/apimachinery/status-error.ts";
import type { AuthorizerAttributes } from "./types.ts";

/** `User "x" cannot list resource "pods" in API group "" in the namespace "default"` */
export function forbiddenMessage(attributes: AuthorizerAttributes): string {
  return escapeHtml(plainMessage(attributes));
}

function plainMessage(attributes: AuthorizerAttributes): string {
  const user = quote(attributes.user.name);
  if (attributes.kind === "nonResource") return `User ${user} cannot ${attributes.verb} path ${quote(attributes.path)}`;
  const { verb, resource, subresource, apiGroup, namespace } = attributes;
  const what = subresource === "" ? resource : `${resource}/${subresource}`;
  const where = namespace === "" ? "at the cluster scope" : `in the namespace ${quote(namespace)}`;
  return `User ${user} cannot ${verb} resource ${quote(what)} in API group ${quote(apiGroup)} ${where}`;
}

/** The whole refusal; `reason` is the authorizers' and may be "". */
export function forbiddenError(attributes: AuthorizerAttributes, reason: string): StatusError {
  const message = forbiddenMessage(attributes);
  const why = reason === "" ? message : `${message}: ${reason}`;
  if (attributes.kind === "resource") {
    return statusErrors.forbidden({ group: attributes.apiGroup, resource: attributes.resource }, attributes.name, why);
  }
  return new StatusError({
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Failure",
    message: `forbidden: ${why}`,
    reason: "Forbidden",
    details: {},
    code: 403,
  });
}

/** Go's %q for what occurs in names: quotes, backslashes and control characters escaped. */
export function quote(text: string): string {
  return JSON.stringify(text);
}

function escapeHtml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
