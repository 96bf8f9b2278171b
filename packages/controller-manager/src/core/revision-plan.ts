/**
 * ControllerRevisions: the templates that a StatefulSet or a DaemonSet has had. Pure.
 *
 * A revision's data is a strategic merge patch, {"spec":{"template":{...,"$patch":"replace"}}}, in Go's JSON: keys sorted,
 * compact. Names and comparisons rest on those bytes, so upstream's controller goes on with what we made, and we with its.
 * Source: kubernetes/pkg/controller/history/controller_history.go, pkg/controller/{statefulset,daemon}
 */
import type { ControllerRevision } from "@knarr/api/generated/types/apps-v1.ts";
import type { PodTemplateSpec } from "@knarr/api/generated/types/core-v1.ts";
import { stringifyCanonical } from "@knarr/apimachinery/json.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { controllerRef } from "./claim-plan.ts";
import { safeEncode } from "./template-hash.ts";

/** On the pods: the revision that made them. */
export const REVISION_HASH_LABEL = "controller-revision-hash";
/** A name of 253 characters at most, with "-" and the hash. */
const MAX_PREFIX = 223;

export interface RevisionData {
  readonly spec: { readonly template: PodTemplateSpec & { readonly $patch: "replace" } };
}

export function revisionDataOf(template: PodTemplateSpec | undefined): RevisionData {
  return { spec: { template: { ...template, $patch: "replace" } } };
}

/** The template that a revision holds. */
export function templateOf(revision: ControllerRevision): PodTemplateSpec {
  const { $patch: _patch, ...template } = (revision.data as unknown as RevisionData).spec.template;
  return template;
}

/** 32-bit FNV-1 (not 1a). Source: draft-eastlake-fnv */
function fnv32(bytes: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (const byte of bytes) hash = (Math.imul(hash, 0x01000193) ^ byte) >>> 0;
  return hash >>> 0;
}

/** The hash of a revision's bytes; the count tells apart what collided. */
export function revisionHash(data: unknown, collisionCount: number): string {
  return safeEncode(String(fnv32(new TextEncoder().encode(stringifyCanonical(data) + collisionCount))));
}

export function revisionName(owner: string | undefined, hash: string): string {
  return `${(owner ?? "").slice(0, MAX_PREFIX)}-${hash}`;
}

export interface RevisionParts {
  readonly data: RevisionData;
  readonly hash: string;
  readonly revision: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>> | undefined;
}

export function revisionOf(owner: KubeObject, parts: RevisionParts): ControllerRevision {
  const { data, hash, revision, labels, annotations } = parts;
  return {
    apiVersion: "apps/v1",
    kind: "ControllerRevision",
    metadata: {
      name: revisionName(owner.metadata.name, hash),
      namespace: owner.metadata.namespace,
      labels,
      ...(annotations === undefined ? {} : { annotations }),
      ownerReferences: [controllerRef(owner)],
    },
    data: data as never,
    revision,
  };
}

/** Oldest first. */
export function sortRevisions(revisions: readonly ControllerRevision[]): readonly ControllerRevision[] {
  const age = ({ metadata }: ControllerRevision) => `${metadata.creationTimestamp ?? ""} ${metadata.name}`;
  return revisions.toSorted((a, b) => a.revision - b.revision || (age(a) < age(b) ? -1 : 1));
}

export function nextRevisionNumber(sorted: readonly ControllerRevision[]): number {
  return (sorted.at(-1)?.revision ?? 0) + 1;
}

export function sameData(a: unknown, b: unknown): boolean {
  return stringifyCanonical(a) === stringifyCanonical(b);
}

export type RevisionChange =
  | { readonly kind: "keep"; readonly revision: ControllerRevision }
  /** An old template is the newest again. */
  | { readonly kind: "renumber"; readonly revision: ControllerRevision; readonly to: number }
  | { readonly kind: "create"; readonly to: number };

/** What makes the template the newest revision of `sorted`. */
export function planRevision(sorted: readonly ControllerRevision[], data: RevisionData): RevisionChange {
  const equal = sorted.findLast((revision) => sameData(revision.data, data));
  const newest = sorted.at(-1);
  if (equal === undefined) return { kind: "create", to: nextRevisionNumber(sorted) };
  if (equal === newest) return { kind: "keep", revision: equal };
  return { kind: "renumber", revision: equal, to: nextRevisionNumber(sorted) };
}

/** Revisions beyond the limit that nothing lives by, oldest first. */
export function planHistory(
  sorted: readonly ControllerRevision[],
  live: ReadonlySet<string>,
  limit: number,
): readonly ControllerRevision[] {
  const dead = sorted.filter(({ metadata }) => !live.has(metadata.name ?? ""));
  return dead.slice(0, Math.max(0, dead.length - limit));
}
