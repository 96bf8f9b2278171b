/**
 * Gives containers the defaults of their namespace's LimitRanges, and refuses pods and claims outside their limits.
 * Source: k8s.io/kubernetes/plugin/pkg/admission/limitranger
 */
import { core } from "@knarr/api/generated/resources.ts";
import type {
  Container,
  LimitRange,
  LimitRangeItem,
  PersistentVolumeClaim,
  Pod,
} from "@knarr/api/generated/types/core-v1.ts";
import { podLimitTotals, podRequestTotals } from "@knarr/api/quota/pod-evaluator.ts";
import type { ResourceQuantities } from "@knarr/api/quota/resource-lists.ts";
import { canonicalQuantity, compareQuantities, parseQuantity } from "@knarr/apimachinery/quantity.ts";
import {
  type AdmissionAttributes,
  type AdmissionEnvironment,
  type AdmissionPlugin,
  admissionForbidden,
  isFor,
} from "./plugin.ts";

const ANNOTATION = "kubernetes.io/limit-ranger";

export const limitRanger: AdmissionPlugin = {
  name: "LimitRanger",
  async admit(attributes, env) {
    if (attributes.operation !== "CREATE" || !isFor(attributes, core.pods)) return;
    for (const range of await rangesOf(attributes, env)) setDefaults(attributes.object as Pod, range);
  },
  async validate(attributes, env) {
    const complaints = complaintsFor(attributes);
    if (complaints === undefined) return;
    for (const range of await rangesOf(attributes, env)) {
      const found = (range.spec?.limits ?? []).flatMap(complaints);
      if (found.length > 0) throw admissionForbidden(attributes, aggregate(found));
    }
  },
};

/** What judges one item of a LimitRange; undefined for requests that are not limited. */
function complaintsFor(attributes: AdmissionAttributes): ((item: LimitRangeItem) => string[]) | undefined {
  const { operation, object, oldObject } = attributes;
  if (oldObject?.metadata.deletionTimestamp !== undefined) return undefined;
  const isPod =
    (operation === "CREATE" && isFor(attributes, core.pods)) ||
    (operation === "UPDATE" && isFor(attributes, core.pods, "resize"));
  if (isPod) return (item) => podComplaints(object as Pod, item);
  const writes = operation === "CREATE" || operation === "UPDATE";
  if (writes && isFor(attributes, core.persistentvolumeclaims)) {
    return (item) => claimComplaints(object as PersistentVolumeClaim, item);
  }
  return undefined;
}

async function rangesOf(attributes: AdmissionAttributes, env: AdmissionEnvironment): Promise<LimitRange[]> {
  const ranges = await env.lookup.list(core.limitranges, attributes.namespace);
  return [...ranges].sort((a, b) => ((a.metadata.name ?? "") < (b.metadata.name ?? "") ? -1 : 1));
}

/** Go's aggregate error: the text of one, or all in brackets. */
export function aggregate(messages: readonly string[]): string {
  const distinct = [...new Set(messages)];
  return distinct.length === 1 ? (distinct[0] ?? "") : `[${distinct.join(", ")}]`;
}

function setDefaults(pod: Pod, range: LimitRange): void {
  const limits: Record<string, string> = {};
  const requests: Record<string, string> = {};
  for (const item of range.spec?.limits ?? []) {
    if (item.type !== "Container") continue;
    Object.assign(limits, item.default);
    Object.assign(requests, item.defaultRequest);
  }
  const notes = [
    ...(pod.spec?.containers ?? []).flatMap((c) => fill(c, "container", requests, limits)),
    ...(pod.spec?.initContainers ?? []).flatMap((c) => fill(c, "init container", requests, limits)),
  ];
  if (notes.length === 0) return;
  pod.metadata.annotations = {
    ...pod.metadata.annotations,
    [ANNOTATION]: `LimitRanger plugin set: ${notes.join("; ")}`,
  };
}

function fill(container: Container, what: string, requests: ResourceQuantities, limits: ResourceQuantities): string[] {
  const missing = (defaults: ResourceQuantities, have: ResourceQuantities | undefined) =>
    Object.keys(defaults)
      .filter((name) => have?.[name] === undefined)
      .sort();
  const notes: string[] = [];
  for (const [kind, field, defaults] of [
    ["request", "requests", requests],
    ["limit", "limits", limits],
  ] as const) {
    const names = missing(defaults, container.resources?.[field]);
    if (names.length === 0) continue;
    const set = Object.fromEntries(names.map((name) => [name, defaults[name] ?? "0"]));
    container.resources = { ...container.resources, [field]: { ...container.resources?.[field], ...set } };
    notes.push(`${names.join(", ")} ${kind} for ${what} ${container.name}`);
  }
  return notes;
}

function podComplaints(pod: Pod, item: LimitRangeItem): string[] {
  if (item.type === "Container") {
    const containers = [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])];
    return containers.flatMap(({ resources }) => complaints(item, resources?.requests ?? {}, resources?.limits ?? {}));
  }
  if (item.type !== "Pod") return [];
  // The limits are the cluster user's: what the runtime takes on top does not count.
  const { overhead: _, ...spec } = pod.spec ?? { containers: [] };
  const bare: Pod = { metadata: {}, spec };
  return complaints(item, podRequestTotals(bare), podLimitTotals(bare));
}

function claimComplaints(claim: PersistentVolumeClaim, item: LimitRangeItem): string[] {
  if (item.type !== "PersistentVolumeClaim") return [];
  const requests = claim.spec?.resources?.requests ?? {};
  return [
    ...each(item.min, (name, bound) => belowMinimum(item.type, name, bound, requests[name], undefined)),
    ...each(item.max, (name, bound) => {
      const request = requests[name];
      if (request === undefined) return `maximum ${name} usage per ${item.type} is ${bound}.  No request is specified`;
      return above(request, bound)
        ? `maximum ${name} usage per ${item.type} is ${bound}, but request is ${request}`
        : undefined;
    }),
  ];
}

function complaints(item: LimitRangeItem, requests: ResourceQuantities, limits: ResourceQuantities): string[] {
  const { type } = item;
  return [
    ...each(item.min, (name, bound) => belowMinimum(type, name, bound, requests[name], limits[name])),
    ...each(item.max, (name, bound) => aboveMaximum(type, name, bound, requests[name], limits[name])),
    ...each(item.maxLimitRequestRatio, (name, bound) => aboveRatio(type, name, bound, requests[name], limits[name])),
  ];
}

function each(
  bounds: ResourceQuantities | undefined,
  judge: (name: string, bound: string) => string | undefined,
): string[] {
  return Object.entries(bounds ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([name, bound]) => judge(name, canonicalQuantity(bound)) ?? []);
}

const above = (a: string, b: string) => compareQuantities(a, b) > 0;

function belowMinimum(type: string, name: string, bound: string, request?: string, limit?: string) {
  const rule = `minimum ${name} usage per ${type} is ${bound}`;
  if (request === undefined) return `${rule}.  No request is specified`;
  if (above(bound, request)) return `${rule}, but request is ${canonicalQuantity(request)}`;
  if (limit !== undefined && above(bound, limit)) return `${rule}, but limit is ${canonicalQuantity(limit)}`;
  return undefined;
}

function aboveMaximum(type: string, name: string, bound: string, request?: string, limit?: string) {
  const rule = `maximum ${name} usage per ${type} is ${bound}`;
  if (limit === undefined) return `${rule}.  No limit is specified`;
  if (above(limit, bound)) return `${rule}, but limit is ${canonicalQuantity(limit)}`;
  if (request !== undefined && above(request, bound)) return `${rule}, but request is ${canonicalQuantity(request)}`;
  return undefined;
}

function aboveRatio(type: string, name: string, bound: string, request = "0", limit = "0") {
  const rule = `${name} max limit to request ratio per ${type} is ${bound}`;
  const [requested, limited] = [parseQuantity(request).nanos, parseQuantity(limit).nanos];
  if (requested === 0n) return `${rule}, but no request is specified or request is 0`;
  if (limited === 0n) return `${rule}, but no limit is specified or limit is 0`;
  // limit/request > bound, without a fraction.
  if (limited * 1_000_000_000n <= parseQuantity(bound).nanos * requested) return undefined;
  return `${rule}, but provided ratio is ${(Number(limited) / Number(requested)).toFixed(6)}`;
}
