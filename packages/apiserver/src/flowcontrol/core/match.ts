/**
 * Which FlowSchema a request falls under. Pure. Schemas are prepared once; a match costs a few set look-ups.
 * Source: k8s.io/apiserver/pkg/util/flowcontrol/rule.go
 */
import type { FlowSchema, PolicyRulesWithSubjects } from "@knarr/api/generated/types/flowcontrol-v1.ts";

export interface FlowRequest {
  readonly user: { readonly name: string; readonly groups: readonly string[] };
  readonly isResourceRequest: boolean;
  readonly verb: string;
  readonly group: string;
  readonly resource: string;
  readonly subresource: string;
  readonly namespace: string;
  readonly path: string;
}

export interface PreparedSchema {
  readonly name: string;
  readonly uid: string;
  readonly level: string;
  readonly distinguisher: "ByUser" | "ByNamespace" | "";
  readonly matches: (request: FlowRequest) => boolean;
}

/** In the order in which they are tried: by precedence, then by name. */
export function prepareSchemas(schemas: readonly FlowSchema[]): PreparedSchema[] {
  const precedence = (schema: FlowSchema) => schema.spec?.matchingPrecedence ?? 1000;
  return [...schemas]
    .sort((a, b) => precedence(a) - precedence(b) || compare(a.metadata.name ?? "", b.metadata.name ?? ""))
    .map((schema) => {
      const rules = (schema.spec?.rules ?? []).map(prepareRule);
      return {
        name: schema.metadata.name ?? "",
        uid: schema.metadata.uid ?? "",
        level: schema.spec?.priorityLevelConfiguration?.name ?? "",
        distinguisher: (schema.spec?.distinguisherMethod?.type ?? "") as PreparedSchema["distinguisher"],
        matches: (request) => rules.some((rule) => rule(request)),
      };
    });
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** What tells the schema's requests apart: one flow a user, one a namespace, or one for all. */
export function flowOf(schema: PreparedSchema, request: FlowRequest): string {
  switch (schema.distinguisher) {
    case "ByUser":
      return `${schema.name}\u0000${request.user.name}`;
    case "ByNamespace":
      return `${schema.name}\u0000${request.namespace}`;
    default:
      return schema.name;
  }
}

type Rule = (request: FlowRequest) => boolean;

function prepareRule(rule: PolicyRulesWithSubjects): Rule {
  const users = new Set<string>();
  const groups = new Set<string>();
  for (const subject of rule.subjects ?? []) {
    if (subject.kind === "User") users.add(subject.user?.name ?? "");
    else if (subject.kind === "Group") groups.add(subject.group?.name ?? "");
    else if (subject.serviceAccount?.name === "*")
      groups.add(`system:serviceaccounts:${subject.serviceAccount.namespace}`);
    else users.add(`system:serviceaccount:${subject.serviceAccount?.namespace}:${subject.serviceAccount?.name}`);
  }
  const anyUser = users.has("*");
  const anyGroup = groups.has("*");
  const resources = (rule.resourceRules ?? []).map((one) => ({
    verbs: new Set(one.verbs ?? []),
    groups: new Set(one.apiGroups ?? []),
    resources: new Set(one.resources ?? []),
    namespaces: new Set(one.namespaces ?? []),
    clusterScope: one.clusterScope === true,
  }));
  const paths = (rule.nonResourceRules ?? []).map((one) => ({
    verbs: new Set(one.verbs ?? []),
    urls: one.nonResourceURLs ?? [],
  }));
  const isSubject: Rule = ({ user }) =>
    anyUser || anyGroup || users.has(user.name) || (groups.size > 0 && user.groups.some((group) => groups.has(group)));
  return (request) => {
    if (!isSubject(request)) return false;
    if (!request.isResourceRequest) {
      return paths.some(
        ({ verbs, urls }) => has(verbs, request.verb) && urls.some((url) => matchesPath(url, request.path)),
      );
    }
    const resource = request.subresource === "" ? request.resource : `${request.resource}/${request.subresource}`;
    return resources.some(
      (one) =>
        has(one.verbs, request.verb) &&
        has(one.groups, request.group) &&
        has(one.resources, resource) &&
        (request.namespace === "" ? one.clusterScope : has(one.namespaces, request.namespace)),
    );
  };
}

function has(set: ReadonlySet<string>, value: string): boolean {
  return set.has(value) || set.has("*");
}

function matchesPath(url: string, path: string): boolean {
  if (url === "*" || url === path) return true;
  return url.endsWith("/*") && path.startsWith(url.slice(0, -1));
}
