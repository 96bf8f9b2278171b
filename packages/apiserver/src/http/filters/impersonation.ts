/**
 * Lets a user act as another through the Impersonate-* headers, if authorised to.
 * Source: docs reference/access-authn-authz/user-impersonation.
 */
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import {
  ALL_AUTHENTICATED,
  ALL_SERVICE_ACCOUNTS,
  ALL_UNAUTHENTICATED,
  ANONYMOUS,
  SERVICE_ACCOUNT_GROUP_PREFIX,
  SERVICE_ACCOUNT_USER_PREFIX,
  type UserInfo,
} from "../../authn/types.ts";
import { forbiddenError } from "../../authz/forbidden.ts";
import type { ResourceAttributes } from "../../authz/types.ts";
import type { RequestContext } from "../request-context.ts";
import type { Filter, FilterEnvironment } from "./filter.ts";

const EXTRA_PREFIX = "impersonate-extra-";

export const impersonation: Filter = (context, env, next) => {
  for (const header in context.request.headers)
    if (header.startsWith("impersonate-")) return impersonate(context, env, next);
  return next(context);
};

const impersonate: Filter = async (context, env, next) => {
  const name = context.header("impersonate-user");
  const groups = headerValues(context, "impersonate-group");
  const uid = context.header("impersonate-uid");
  const extra = extraOf(context);
  if (name === "") {
    if (groups.length > 0 || uid !== "" || Object.keys(extra).length > 0) {
      // Differs from upstream: 400 where upstream says 500, because the mistake is the client's.
      throw statusErrors.badRequest("requested impersonation of groups, uid or extra without impersonating a user");
    }
    return next(context);
  }
  const by = context.user;
  if (by === undefined) throw statusErrors.unauthorized();
  await check(env, by, name, groups, uid, extra);
  context.annotate("impersonated-by", by.name);
  context.user = impersonated(name, groups, uid, extra);
  return next(context);
};

async function check(
  env: FilterEnvironment,
  by: UserInfo,
  name: string,
  groups: readonly string[],
  uid: string,
  extra: Readonly<Record<string, readonly string[]>>,
): Promise<void> {
  const ask = async (resource: string, target: string, rest: Partial<ResourceAttributes> = {}) => {
    const attributes: ResourceAttributes = {
      kind: "resource",
      user: by,
      verb: "impersonate",
      apiGroup: "",
      apiVersion: "v1",
      resource,
      subresource: "",
      namespace: "",
      name: target,
      ...rest,
    };
    const decision = await env.authorizer.authorize(attributes);
    if (decision.verdict !== "allowed") throw forbiddenError(attributes, decision.reason);
  };
  const account = serviceAccountOf(name);
  if (account === undefined) await ask("users", name);
  else await ask("serviceaccounts", account.name, { namespace: account.namespace });
  for (const group of groups) await ask("groups", group);
  const authentication = { apiGroup: "authentication.k8s.io" };
  if (uid !== "") await ask("uids", uid, authentication);
  for (const [key, values] of Object.entries(extra)) {
    for (const value of values) await ask("userextras", value, { ...authentication, subresource: key });
  }
}

function impersonated(
  name: string,
  groups: readonly string[],
  uid: string,
  extra: Readonly<Record<string, readonly string[]>>,
): UserInfo {
  const all = [...groups];
  const account = serviceAccountOf(name);
  if (account !== undefined && groups.length === 0) {
    all.push(ALL_SERVICE_ACCOUNTS, `${SERVICE_ACCOUNT_GROUP_PREFIX}${account.namespace}`);
  }
  const everyone = name === ANONYMOUS ? ALL_UNAUTHENTICATED : ALL_AUTHENTICATED;
  if (!all.includes(everyone) && !all.includes(ALL_UNAUTHENTICATED)) all.push(everyone);
  return Object.freeze({ name, uid, groups: Object.freeze(all), extra: Object.freeze({ ...extra }) });
}

function serviceAccountOf(user: string): { namespace: string; name: string } | undefined {
  if (!user.startsWith(SERVICE_ACCOUNT_USER_PREFIX)) return undefined;
  const [namespace = "", name = "", ...more] = user.slice(SERVICE_ACCOUNT_USER_PREFIX.length).split(":");
  return namespace !== "" && name !== "" && more.length === 0 ? { namespace, name } : undefined;
}

function headerValues(context: RequestContext, name: string): string[] {
  const raw = (context.request as { rawHeaders?: string[] }).rawHeaders ?? [];
  const values: string[] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) {
    if (raw[i]?.toLowerCase() === name) values.push(raw[i + 1] ?? "");
  }
  return values;
}

function extraOf(context: RequestContext): Record<string, string[]> {
  const extra: Record<string, string[]> = Object.create(null);
  for (const header of Object.keys(context.request.headers)) {
    if (!header.startsWith(EXTRA_PREFIX)) continue;
    extra[decodeKey(header.slice(EXTRA_PREFIX.length))] = headerValues(context, header);
  }
  return extra;
}

/** Keys are percent-encoded where a header's name could not hold them; a broken escape stands for itself. */
function decodeKey(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch (error) {
    if (!(error instanceof URIError)) throw error;
    return text;
  }
}
