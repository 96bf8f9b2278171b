/**
 * How operations are called and grouped. Client generators make one class of each tag and one method of each id, so both are upstream's.
 * Source: k8s.io/apiserver/pkg/endpoints/openapi GetOperationIDAndTags
 */

/** "rbac.authorization.k8s.io" -> "rbacAuthorization"; the core group is "core". */
function groupWord(group: string): string {
  const short = group === "" ? "core" : group.replace(/\.k8s\.io$/, "");
  return short.replace(/[^A-Za-z0-9]+(.)?/g, (_, next: string | undefined) => (next ?? "").toUpperCase());
}

export function capital(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}

/** "apps_v1", "rbacAuthorization_v1", "core" of a group without a version. */
export function tagOf(group: string, version?: string): string {
  return version === undefined ? groupWord(group) : `${groupWord(group)}_${version}`;
}

/** operationId("list", ref, "NamespacedPod") -> "listCoreV1NamespacedPod" */
export function operationId(verb: string, of: { group: string; version?: string }, rest: string): string {
  return `${verb}${capital(groupWord(of.group))}${capital(of.version ?? "")}${rest}`;
}
