/**
 * From request info to the verb's function. Built-in and custom resources take the same way.
 */
import { quoteGo } from "@knarr/apimachinery/go-text.ts";
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import type { RequestContext } from "../http/request-context.ts";
import { answerUnknownPath } from "../http/unknown-path.ts";
import { subresources } from "../subresources/order.ts";
import { create } from "./create.ts";
import { deleteObject } from "./delete.ts";
import { deleteCollection } from "./deletecollection.ts";
import type { ApiEnvironment, ResourceRequest } from "./environment.ts";
import { getObject } from "./get.ts";
import { listObjects } from "./list.ts";
import { patch } from "./patch.ts";
import { update } from "./update.ts";
import { watchObjects } from "./watch.ts";

export type VerbHandler = (request: ResourceRequest) => Promise<void>;

const verbs: Readonly<Record<string, VerbHandler>> = {
  get: getObject,
  list: listObjects,
  watch: watchObjects,
  create,
  update,
  patch,
  delete: deleteObject,
  deletecollection: deleteCollection,
};

/** Answers a resource request; throws 404 for unknown resources and 405 for verbs that they don't have. */
export async function dispatch(context: RequestContext, env: ApiEnvironment): Promise<void> {
  const { info } = context;
  const resource = env.resources.find(info.group, info.version, info.resource);
  if (resource === undefined) return answerUnknownPath(context, env.resources);
  if (context.user === undefined) throw statusErrors.unauthorized();
  const { descriptor } = resource;
  // A namespaced path of a cluster-scoped resource, and an object of a namespaced one without its namespace, don't exist.
  const misplaced = descriptor.ref.namespaced
    ? info.namespace === "" && info.pathName !== ""
    : info.namespace !== "" && !(info.resource === "namespaces" && info.namespace === info.pathName);
  if (misplaced) throw statusErrors.pathNotFound();
  if (resource.storage !== undefined) checkName(info.pathName);
  const request: ResourceRequest = {
    context,
    env,
    resource,
    namespace: descriptor.ref.namespaced ? info.namespace : "",
    name: info.name,
    subresource: info.subresource,
    user: context.user,
  };
  const handler = info.subresource === "" ? mainHandler(request) : subresourceHandler(request);
  context.resourceKnown = true;
  await handler(request);
}

/** What no key in the store can be made of. Source: registry NamespaceKeyFunc, path.IsValidPathSegmentName */
function checkName(name: string): void {
  const why: string[] = [];
  if (name === "." || name === "..") why.push(`may not be '${name}'`);
  else for (const part of ["/", "%"]) if (name.includes(part)) why.push(`may not contain '${part}'`);
  if (why.length > 0) throw statusErrors.badRequest(`Name parameter invalid: ${quoteGo(name)}: ${why.join(";")}`);
}

function mainHandler(request: ResourceRequest): VerbHandler {
  const { resource, context } = request;
  const { verb, namespace } = context.info;
  // All namespaces at once can be read, not written.
  const isEverywhere = resource.descriptor.ref.namespaced && namespace === "";
  if (context.method === "HEAD" || (isEverywhere && verb !== "list" && verb !== "watch"))
    throw statusErrors.pathMethodNotAllowed();
  const known = resource.descriptor.verbs as readonly string[];
  const own = virtualHandler(request);
  if (own !== undefined) return own;
  // A collection cannot be replaced, and nothing is created below an object.
  const named = context.info.pathName !== "";
  const fits = verb === "create" ? !named : named || (verb !== "update" && verb !== "patch");
  const handler = known.includes(verb) && fits ? verbs[verb] : undefined;
  if (handler === undefined || resource.storage === undefined) throw statusErrors.pathMethodNotAllowed();
  return handler;
}

/** Reviews and bindings: answered by a function, never stored. */
function virtualHandler(request: ResourceRequest): VerbHandler | undefined {
  const { ref } = request.resource.descriptor;
  const handlers = subresources[`${ref.group}/${ref.resource}`];
  return ownHandler(handlers, request.context.info.verb);
}

function subresourceHandler(request: ResourceRequest): VerbHandler {
  const { ref, subresources: listed } = request.resource.descriptor;
  const { verb, rest } = request.context.info;
  const goesOn = request.subresource !== "proxy" && /[^/]/.test(rest);
  if (goesOn || !listed.some((one) => one.name === request.subresource)) throw statusErrors.pathNotFound();
  if (request.subresource === "status") {
    const isKnown = verb === "get" || verb === "update" || verb === "patch";
    const handler = isKnown && request.context.method !== "HEAD" ? verbs[verb] : undefined;
    if (handler === undefined) throw statusErrors.pathMethodNotAllowed();
    return handler;
  }
  const handlers =
    subresources[`${ref.group}/${ref.resource}/${request.subresource}`] ?? subresources[`*/${request.subresource}`];
  const handler = (request.context.method === "HEAD" ? undefined : ownHandler(handlers, verb)) ?? handlers?.["*"];
  if (handler === undefined) throw statusErrors.pathMethodNotAllowed();
  return handler;
}

/** HTTP/2 lets any word be a method: "constructor" is no handler. */
function ownHandler(
  handlers: Readonly<Record<string, VerbHandler>> | undefined,
  verb: string,
): VerbHandler | undefined {
  return handlers !== undefined && Object.hasOwn(handlers, verb) ? handlers[verb] : undefined;
}
