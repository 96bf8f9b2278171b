/**
 * How far a rollout is, in kubectl's words. Source: k8s.io/kubectl/pkg/polymorphichelpers/rollout_status.go
 */
import type { DaemonSet, Deployment, StatefulSet } from "@knarr/api/generated/types/apps-v1.ts";

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

export function daemonSetRolloutStatus({ metadata, spec, status }: DaemonSet): RolloutStatus {
  const name = metadata.name ?? "";
  if (spec?.updateStrategy?.type !== undefined && spec.updateStrategy.type !== "RollingUpdate") {
    return { kind: "failed", message: "rollout status is only available for RollingUpdate strategy type" };
  }
  if ((metadata.generation ?? 0) > (status?.observedGeneration ?? 0)) {
    return { kind: "waiting", message: "Waiting for daemon set spec update to be observed..." };
  }
  const wanted = status?.desiredNumberScheduled ?? 0;
  const updated = status?.updatedNumberScheduled ?? 0;
  const available = status?.numberAvailable ?? 0;
  const waiting = (what: string) =>
    ({ kind: "waiting", message: `Waiting for daemon set "${name}" rollout to finish: ${what}...` }) as const;
  if (updated < wanted) return waiting(`${updated} out of ${wanted} new pods have been updated`);
  if (available < wanted) return waiting(`${available} of ${wanted} updated pods are available`);
  return { kind: "done", message: `daemon set "${name}" successfully rolled out` };
}

export function statefulSetRolloutStatus({ metadata, spec, status }: StatefulSet): RolloutStatus {
  if (spec?.updateStrategy?.type !== undefined && spec.updateStrategy.type !== "RollingUpdate") {
    return { kind: "failed", message: "rollout status is only available for RollingUpdate strategy type" };
  }
  if ((status?.observedGeneration ?? 0) === 0 || (metadata.generation ?? 0) > (status?.observedGeneration ?? 0)) {
    return { kind: "waiting", message: "Waiting for statefulset spec update to be observed..." };
  }
  const wanted = spec?.replicas ?? 1;
  const ready = status?.readyReplicas ?? 0;
  if (ready < wanted) return { kind: "waiting", message: `Waiting for ${wanted - ready} pods to be ready...` };
  const updated = status?.updatedReplicas ?? 0;
  const partition = spec?.updateStrategy?.rollingUpdate?.partition ?? 0;
  if (partition > 0) {
    return updated < wanted - partition
      ? {
          kind: "waiting",
          message: `Waiting for partitioned roll out to finish: ${updated} out of ${wanted - partition} new pods have been updated...`,
        }
      : { kind: "done", message: `partitioned roll out complete: ${updated} new pods have been updated...` };
  }
  if (status?.updateRevision !== status?.currentRevision) {
    return {
      kind: "waiting",
      message: `waiting for statefulset rolling update to complete ${updated} pods at revision ${status?.updateRevision}...`,
    };
  }
  const current = status?.currentReplicas ?? 0;
  return {
    kind: "done",
    message: `statefulset rolling update complete ${current} pods at revision ${status?.currentRevision}...`,
  };
}
