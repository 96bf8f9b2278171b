/**
 * The ReplicaSet that a Deployment makes for its template, and the annotations it keeps on it.
 * Source: kubernetes/pkg/controller/deployment/{sync.go,util/deployment_util.go}
 */
import type { Deployment, ReplicaSet } from "@knarr/api/generated/types/apps-v1.ts";
import type { PodTemplateSpec } from "@knarr/api/generated/types/core-v1.ts";
import {
  DESIRED_REPLICAS_ANNOTATION,
  desiredReplicas,
  MAX_REPLICAS_ANNOTATION,
  maxSurge,
  REVISION_ANNOTATION,
  REVISION_HISTORY_ANNOTATION,
} from "./deployment-math.ts";
import { POD_TEMPLATE_HASH_LABEL, templateHash } from "./template-hash.ts";

/** Annotations of the Deployment that are its own affair. */
export const NOT_COPIED: ReadonlySet<string> = new Set([
  "kubectl.kubernetes.io/last-applied-configuration",
  REVISION_ANNOTATION,
  REVISION_HISTORY_ANNOTATION,
  DESIRED_REPLICAS_ANNOTATION,
  MAX_REPLICAS_ANNOTATION,
  "deprecated.deployment.rollback.to",
]);

type Annotations = Record<string, string>;

/** One more than the highest revision among `old`. */
export function nextRevision(old: readonly ReplicaSet[]): string {
  let highest = 0n;
  for (const { metadata } of old) {
    const text = metadata.annotations?.[REVISION_ANNOTATION] ?? "";
    if (/^\d+$/.test(text) && BigInt(text) > highest) highest = BigInt(text);
  }
  return String(highest + 1n);
}

export function newReplicaSet(deployment: Deployment, replicas: number, revision: string): ReplicaSet {
  const template = deployment.spec?.template as PodTemplateSpec;
  const hash = templateHash(template, deployment.status?.collisionCount);
  const labels = { ...template.metadata?.labels, [POD_TEMPLATE_HASH_LABEL]: hash };
  const selector = deployment.spec?.selector;
  const desired = desiredReplicas(deployment);
  return {
    apiVersion: "apps/v1",
    kind: "ReplicaSet",
    metadata: {
      name: `${deployment.metadata.name}-${hash}`,
      namespace: deployment.metadata.namespace,
      labels,
      annotations: {
        ...copied(deployment),
        [REVISION_ANNOTATION]: revision,
        [DESIRED_REPLICAS_ANNOTATION]: String(desired),
        [MAX_REPLICAS_ANNOTATION]: String(desired + maxSurge(deployment)),
      },
      ownerReferences: [
        {
          apiVersion: "apps/v1",
          kind: "Deployment",
          name: deployment.metadata.name ?? "",
          uid: deployment.metadata.uid ?? "",
          controller: true,
          blockOwnerDeletion: true,
        },
      ],
    },
    spec: {
      replicas,
      ...(deployment.spec?.minReadySeconds === undefined ? {} : { minReadySeconds: deployment.spec.minReadySeconds }),
      selector: { ...selector, matchLabels: { ...selector?.matchLabels, [POD_TEMPLATE_HASH_LABEL]: hash } },
      template: { ...template, metadata: { ...template.metadata, labels } },
    },
  };
}

function copied(deployment: Deployment): Annotations {
  const entries = Object.entries(deployment.metadata.annotations ?? {}).filter(([name]) => !NOT_COPIED.has(name));
  return Object.fromEntries(entries);
}

/**
 * The annotations that the new ReplicaSet should have; undefined when it has them. A revision only grows: when the
 * ReplicaSet becomes the newest again (a rollback), the revision it had goes into its history.
 */
export function replicaSetAnnotations(
  deployment: Deployment,
  { metadata }: ReplicaSet,
  revision: string,
): Annotations | undefined {
  const before = metadata.annotations ?? {};
  const next: Annotations = { ...before, ...copied(deployment) };
  const oldRevision = /^\d+$/.exec(before[REVISION_ANNOTATION] ?? "")?.[0];
  if (BigInt(oldRevision ?? "0") < BigInt(revision)) {
    next[REVISION_ANNOTATION] = revision;
    if (oldRevision !== undefined) {
      const history = before[REVISION_HISTORY_ANNOTATION] ?? "";
      next[REVISION_HISTORY_ANNOTATION] = history === "" ? oldRevision : `${history},${oldRevision}`;
    }
  }
  return sameEntries(before, next) ? undefined : next;
}

/** The annotations with desired and maximum replicas brought up to date; undefined when they are. */
export function scaleAnnotations({ metadata }: ReplicaSet, desired: number, surge: number): Annotations | undefined {
  const before = metadata.annotations ?? {};
  const next = {
    ...before,
    [DESIRED_REPLICAS_ANNOTATION]: String(desired),
    [MAX_REPLICAS_ANNOTATION]: String(desired + surge),
  };
  return sameEntries(before, next) ? undefined : next;
}

function sameEntries(a: Annotations, b: Annotations): boolean {
  const keys = Object.keys(b);
  return keys.length === Object.keys(a).length && keys.every((key) => a[key] === b[key]);
}
