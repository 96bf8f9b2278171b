/**
 * What is served, by group and version, in upstream's order of preference. Pure, from the descriptors.
 * Source: k8s.io/kubernetes/pkg/controlplane: priorities of the API groups.
 */
import type { KindDescriptor } from "@knarr/api/descriptor.ts";

/** Clients resolve a bare resource name to the first group that has it: core before events.k8s.io. */
const GROUP_ORDER = [
  "",
  "apiregistration.k8s.io",
  "apps",
  "events.k8s.io",
  "authentication.k8s.io",
  "authorization.k8s.io",
  "autoscaling",
  "batch",
  "certificates.k8s.io",
  "networking.k8s.io",
  "policy",
  "rbac.authorization.k8s.io",
  "storage.k8s.io",
  "admissionregistration.k8s.io",
  "apiextensions.k8s.io",
  "scheduling.k8s.io",
  "coordination.k8s.io",
  "node.k8s.io",
  "discovery.k8s.io",
  "resource.k8s.io",
  "flowcontrol.apiserver.k8s.io",
];

export interface ServedVersion {
  readonly group: string;
  readonly version: string;
  readonly descriptors: readonly KindDescriptor[];
}

export interface ServedGroup {
  readonly group: string;
  /** The preferred one first. */
  readonly versions: readonly ServedVersion[];
}

export function servedGroups(descriptors: readonly KindDescriptor[]): ServedGroup[] {
  const groups = new Map<string, Map<string, KindDescriptor[]>>();
  for (const descriptor of descriptors) {
    const { group, version } = descriptor.ref;
    const versions = groups.get(group) ?? new Map<string, KindDescriptor[]>();
    groups.set(group, versions);
    versions.set(version, [...(versions.get(version) ?? []), descriptor]);
  }
  const rank = (group: string) => {
    const at = GROUP_ORDER.indexOf(group);
    return at < 0 ? GROUP_ORDER.length : at;
  };
  return [...groups]
    .sort(([a], [b]) => rank(a) - rank(b) || (a < b ? -1 : 1))
    .map(([group, versions]) => ({
      group,
      versions: [...versions]
        .sort(([a], [b]) => compareVersions(a, b))
        .map(([version, list]) => ({ group, version, descriptors: sortByName(list) })),
    }));
}

function sortByName(descriptors: readonly KindDescriptor[]): KindDescriptor[] {
  return descriptors.toSorted((a, b) => (a.ref.resource < b.ref.resource ? -1 : 1));
}

/** Stable before beta before alpha, newer before older. Source: k8s.io/apimachinery/pkg/version CompareKubeAwareVersionStrings */
export function compareVersions(a: string, b: string): number {
  const parse = (text: string): [number, number, number] => {
    const match = /^v(\d+)(?:(alpha|beta)(\d+))?$/.exec(text);
    if (match === null) return [3, 0, 0];
    const stage = match[2] === undefined ? 0 : match[2] === "beta" ? 1 : 2;
    return [stage, -Number(match[1]), -Number(match[3] ?? 0)];
  };
  const [left, right] = [parse(a), parse(b)];
  return left[0] - right[0] || left[1] - right[1] || left[2] - right[2] || (a < b ? -1 : a > b ? 1 : 0);
}
