/**
 * `deprecated.deployment.rollback.to`, by which clients of extensions/v1beta1 asked for a rollback, and still may. Pure.
 * Source: kubernetes/pkg/controller/deployment/rollback.go
 */
import type { Deployment, ReplicaSet } from "@knarr/api/generated/types/apps-v1.ts";
import { REVISION_ANNOTATION } from "./deployment-math.ts";
import { NOT_COPIED } from "./replica-set-of-deployment.ts";
import { POD_TEMPLATE_HASH_LABEL, sameTemplate } from "./template-hash.ts";

const ROLLBACK_ANNOTATION = "deprecated.deployment.rollback.to";

export interface Rollback {
  /** With the old template, where there was one to go back to; without the annotation in any case. */
  readonly deployment: Deployment;
  readonly event: { readonly type: "Normal" | "Warning"; readonly reason: string; readonly message: string };
}

/** Undefined when nobody asked for one. */
export function planRollback(deployment: Deployment, replicaSets: readonly ReplicaSet[]): Rollback | undefined {
  const { [ROLLBACK_ANNOTATION]: asked, ...annotations } = deployment.metadata.annotations ?? {};
  if (asked === undefined || !/^-?\d+$/.test(asked)) return undefined;
  const cleared: Deployment = { ...deployment, metadata: { ...deployment.metadata, annotations } };
  const warn = (reason: string, message: string): Rollback => ({
    deployment: cleared,
    event: { type: "Warning", reason, message },
  });
  const revision = Number(asked) === 0 ? lastRevision(replicaSets) : Number(asked);
  if (revision === 0) return warn("DeploymentRollbackRevisionNotFound", "Unable to find last revision.");
  const target = replicaSets.find((replicaSet) => revisionOf(replicaSet) === revision);
  if (target === undefined) {
    return warn("DeploymentRollbackRevisionNotFound", "Unable to find the revision to rollback to.");
  }
  const name = JSON.stringify(deployment.metadata.name);
  if (sameTemplate(target.spec?.template, deployment.spec?.template)) {
    const message = `The rollback revision contains the same template as current deployment ${name}`;
    return warn("DeploymentRollbackTemplateUnchanged", message);
  }
  return {
    deployment: restored(cleared, target),
    event: {
      type: "Normal",
      reason: "DeploymentRollback",
      message: `Rolled back deployment ${name} to revision ${revision}`,
    },
  };
}

/** The template and the annotations of then; what belongs to the Deployment alone stays. */
function restored(deployment: Deployment, target: ReplicaSet): Deployment {
  const template = target.spec?.template ?? {};
  const { [POD_TEMPLATE_HASH_LABEL]: _hash, ...labels } = template.metadata?.labels ?? {};
  const own = Object.entries(deployment.metadata.annotations ?? {}).filter(([name]) => NOT_COPIED.has(name));
  const then = Object.entries(target.metadata.annotations ?? {}).filter(([name]) => !NOT_COPIED.has(name));
  return {
    ...deployment,
    metadata: { ...deployment.metadata, annotations: Object.fromEntries([...own, ...then]) },
    spec: { ...deployment.spec, template: { ...template, metadata: { ...template.metadata, labels } } } as NonNullable<
      Deployment["spec"]
    >,
  };
}

function revisionOf({ metadata }: ReplicaSet): number {
  const text = metadata.annotations?.[REVISION_ANNOTATION] ?? "";
  return /^\d+$/.test(text) ? Number(text) : 0;
}

/** The second highest; 0 when there is none. */
function lastRevision(replicaSets: readonly ReplicaSet[]): number {
  return [...new Set(replicaSets.map(revisionOf))].sort((a, b) => b - a)[1] ?? 0;
}
