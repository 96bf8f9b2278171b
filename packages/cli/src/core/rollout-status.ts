/**
 * How far a Deployment's rollout is, in kubectl's words. Source: k8s.io/kubectl/pkg/polymorphichelpers/rollout_status.go
 */
import type { Deployment } from "@knarr/api/generated/types/apps-v1.ts";

export type RolloutStatus =
  | { readonly kind: "waiting" | "done"; readonly message: string }
  | { readonly kind: "failed"; readonly message: string };

export function deploymentRolloutStatus(deployment: Deployment): RolloutStatus {
  const name = deployment.metadata.name ?? "";
  const { status } = deployment;
  if ((deployment.metadata.generation ?? 0) > (status?.observedGeneration ?? 0)) {
    return { kind: "waiting", message: "Waiting for deployment spec update to be observed..." };
  }
  const progressing = status?.conditions?.find((condition) => condition.type === "Progressing");
  if (progressing?.reason === "ProgressDeadlineExceeded") {
    return { kind: "failed", message: `deployment "${name}" exceeded its progress deadline` };
  }
  const wanted = deployment.spec?.replicas ?? 1;
  const total = status?.replicas ?? 0;
  const updated = status?.updatedReplicas ?? 0;
  const available = status?.availableReplicas ?? 0;
  const waiting = (what: string) =>
    ({ kind: "waiting", message: `Waiting for deployment "${name}" rollout to finish: ${what}...` }) as const;
  if (updated < wanted) return waiting(`${updated} out of ${wanted} new replicas have been updated`);
  if (total > updated) return waiting(`${total - updated} old replicas are pending termination`);
  if (available < updated) return waiting(`${available} of ${updated} updated replicas are available`);
  return { kind: "done", message: `deployment "${name}" successfully rolled out` };
}
