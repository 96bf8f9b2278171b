/** Short forms for writing policies as data. Lists are separated by spaces; the core group is written `core`. */
import type { PolicyRule } from "@knarr/api/generated/types/rbac-v1.ts";

export const READ = "get list watch";
export const WRITE = "create delete deletecollection patch update";
export const READ_WRITE = `${READ} ${WRITE}`;
export const READ_UPDATE = `${READ} patch update`;

/** A rule about resources; lists come out sorted, as upstream stores them. */
export function rule(verbs: string, groups: string, resources: string, names?: string): PolicyRule {
  return {
    apiGroups: sorted(groups).map((group) => (group === "core" ? "" : group)),
    ...(names === undefined ? {} : { resourceNames: sorted(names) }),
    resources: sorted(resources),
    verbs: sorted(verbs),
  };
}

/** A rule about paths. */
export function urls(verbs: string, paths: string): PolicyRule {
  return { nonResourceURLs: sorted(paths), verbs: sorted(verbs) };
}

/** What everybody needs who reports events. */
export function eventsRule(): PolicyRule {
  return rule("create patch update", "core events.k8s.io", "events");
}

function sorted(list: string): string[] {
  return list.split(/\s+/).sort();
}
