/**
 * A Deployment's status and conditions. Source: kubernetes/pkg/controller/deployment/{sync,progress}.go
 */

import type {
  Deployment,
  DeploymentCondition,
  DeploymentStatus,
  ReplicaSet,
} from "@knarr/api/generated/types/apps-v1.ts";
import { rfc3339Seconds } from "@knarr/apimachinery/time.ts";
import { desiredReplicas, maxUnavailable } from "./deployment-math.ts";

export interface StatusInput {
  readonly deployment: Deployment;
  /** Old and new ones. */
  readonly replicaSets: readonly ReplicaSet[];
  readonly newReplicaSet: ReplicaSet | undefined;
  /** Conditions so far, with what this round has already added. */
  readonly conditions: readonly DeploymentCondition[];
  readonly nowMs: number;
}

/** "No deadline" is how apps/v1 spells a missing one. */
const NO_DEADLINE_SECONDS = 2_147_483_647;

export function hasProgressDeadline(deployment: Deployment): boolean {
  const seconds = deployment.spec?.progressDeadlineSeconds;
  return seconds !== undefined && seconds !== NO_DEADLINE_SECONDS;
}

type ConditionInput = Pick<DeploymentCondition, "type" | "status" | "reason" | "message">;

/** Sets a condition; one with the same status and reason stays as it is, one with the same status keeps its transition. */
export function withCondition(
  conditions: readonly DeploymentCondition[],
  next: ConditionInput,
  nowMs: number,
): readonly DeploymentCondition[] {
  const current = conditions.find((c) => c.type === next.type);
  if (current?.status === next.status && current.reason === next.reason) return conditions;
  const now = rfc3339Seconds(nowMs);
  const lastTransitionTime = current?.status === next.status ? current.lastTransitionTime : now;
  return [...conditions.filter((c) => c.type !== next.type), { ...next, lastUpdateTime: now, lastTransitionTime }];
}

/** The counts, and the condition Available. */
export function countStatus(input: StatusInput): DeploymentStatus {
  const { deployment, replicaSets, newReplicaSet, nowMs } = input;
  const sum = (of: (rs: ReplicaSet) => number | undefined) => replicaSets.reduce((n, rs) => n + (of(rs) ?? 0), 0);
  const availableReplicas = sum((rs) => rs.status?.availableReplicas);
  const unavailableReplicas = Math.max(0, sum((rs) => desiredReplicas(rs)) - availableReplicas);
  const knowsTerminating = replicaSets.every((rs) => rs.status?.terminatingReplicas !== undefined);
  const enough = availableReplicas >= desiredReplicas(deployment) - maxUnavailable(deployment);
  const available: ConditionInput = enough
    ? {
        type: "Available",
        status: "True",
        reason: "MinimumReplicasAvailable",
        message: "Deployment has minimum availability.",
      }
    : {
        type: "Available",
        status: "False",
        reason: "MinimumReplicasUnavailable",
        message: "Deployment does not have minimum availability.",
      };
  return dropZeros({
    observedGeneration: deployment.metadata.generation,
    replicas: sum((rs) => rs.status?.replicas),
    updatedReplicas: newReplicaSet?.status?.replicas ?? 0,
    readyReplicas: sum((rs) => rs.status?.readyReplicas),
    availableReplicas,
    unavailableReplicas,
    collisionCount: deployment.status?.collisionCount,
    conditions: [...withCondition(input.conditions, available, nowMs)],
    // Zero is a fact here, absence means that somebody doesn't count.
    ...(knowsTerminating ? { terminatingReplicas: sum((rs) => rs.status?.terminatingReplicas) } : {}),
  });
}

/** Go's omitempty, but for the pointer field terminatingReplicas. */
function dropZeros(status: DeploymentStatus): DeploymentStatus {
  const kept = Object.entries(status).filter(
    ([key, v]) => v !== undefined && (v !== 0 || key === "terminatingReplicas"),
  );
  return Object.fromEntries(kept);
}

/** The status at the end of a round of rolling out: counts plus Progressing and ReplicaFailure. */
export function rolloutStatus(input: StatusInput): DeploymentStatus {
  const { deployment, newReplicaSet, nowMs } = input;
  const status = countStatus(input);
  let conditions: readonly DeploymentCondition[] = status.conditions ?? [];
  const current = conditions.find((c) => c.type === "Progressing");
  if (!hasProgressDeadline(deployment)) conditions = conditions.filter((c) => c.type !== "Progressing");
  const settled =
    (status.replicas ?? 0) === (status.updatedReplicas ?? 0) && current?.reason === "NewReplicaSetAvailable";
  if (hasProgressDeadline(deployment) && !settled) {
    conditions = progressConditions({ deployment, status, conditions, current, newReplicaSet, nowMs });
  }
  const failure = replicaFailure(input);
  conditions =
    failure === undefined
      ? conditions.filter((c) => c.type !== "ReplicaFailure")
      : withCondition(conditions, failure, nowMs);
  return { ...status, conditions: [...conditions] };
}

function progressConditions(of: {
  deployment: Deployment;
  status: DeploymentStatus;
  conditions: readonly DeploymentCondition[];
  current: DeploymentCondition | undefined;
  newReplicaSet: ReplicaSet | undefined;
  nowMs: number;
}): readonly DeploymentCondition[] {
  const { deployment, status, conditions, current, newReplicaSet, nowMs } = of;
  const name = newReplicaSet?.metadata.name;
  const subject = name === undefined ? `Deployment "${deployment.metadata.name}"` : `ReplicaSet "${name}"`;
  const type = "Progressing";
  if (isComplete(deployment, status)) {
    const message = `${subject} has successfully progressed.`;
    return withCondition(conditions, { type, status: "True", reason: "NewReplicaSetAvailable", message }, nowMs);
  }
  if (isProgressing(deployment, status)) {
    const next = { type, status: "True", reason: "ReplicaSetUpdated", message: `${subject} is progressing.` };
    if (current === undefined) return withCondition(conditions, next, nowMs);
    const now = rfc3339Seconds(nowMs);
    // Every step forward renews lastUpdateTime, from which the deadline counts.
    const lastTransitionTime = current.status === "True" ? current.lastTransitionTime : now;
    return [...conditions.filter((c) => c.type !== type), { ...next, lastUpdateTime: now, lastTransitionTime }];
  }
  if (isTimedOut(deployment, current, nowMs)) {
    const message = `${subject} has timed out progressing.`;
    return withCondition(conditions, { type, status: "False", reason: "ProgressDeadlineExceeded", message }, nowMs);
  }
  return conditions;
}

/** Everything desired is new and available. */
export function isComplete(deployment: Deployment, status: DeploymentStatus): boolean {
  const desired = desiredReplicas(deployment);
  return (
    (status.updatedReplicas ?? 0) === desired &&
    (status.replicas ?? 0) === desired &&
    (status.availableReplicas ?? 0) === desired &&
    (status.observedGeneration ?? 0) >= (deployment.metadata.generation ?? 0)
  );
}

function isProgressing({ status: old = {} }: Deployment, status: DeploymentStatus): boolean {
  const oldOnes = (s: DeploymentStatus) => (s.replicas ?? 0) - (s.updatedReplicas ?? 0);
  return (
    (status.updatedReplicas ?? 0) > (old.updatedReplicas ?? 0) ||
    oldOnes(status) < oldOnes(old) ||
    (status.readyReplicas ?? 0) > (old.readyReplicas ?? 0) ||
    (status.availableReplicas ?? 0) > (old.availableReplicas ?? 0)
  );
}

function isTimedOut(deployment: Deployment, condition: DeploymentCondition | undefined, nowMs: number): boolean {
  if (condition === undefined || condition.reason === "NewReplicaSetAvailable") return false;
  if (condition.reason === "ProgressDeadlineExceeded") return true;
  return deadlineMs(deployment, condition) < nowMs;
}

function deadlineMs(deployment: Deployment, condition: DeploymentCondition): number {
  return Date.parse(condition.lastUpdateTime ?? "") + (deployment.spec?.progressDeadlineSeconds ?? 0) * 1000;
}

/** The new ReplicaSet's failure to create pods, or else an old one's. */
function replicaFailure({ newReplicaSet, replicaSets }: StatusInput): ConditionInput | undefined {
  const failures = [newReplicaSet, ...replicaSets].map((rs) =>
    rs?.status?.conditions?.find((c) => c.type === "ReplicaFailure"),
  );
  const found = failures.find((condition) => condition !== undefined);
  return found === undefined
    ? undefined
    : { type: "ReplicaFailure", status: found.status, reason: found.reason, message: found.message };
}

/** When to look again for the progress deadline; undefined when there is nothing to wait for. */
export function progressCheckAfterMs(
  deployment: Deployment,
  status: DeploymentStatus,
  nowMs: number,
): number | undefined {
  const condition = status.conditions?.find((c) => c.type === "Progressing");
  if (!hasProgressDeadline(deployment) || condition === undefined) return undefined;
  if (isComplete(deployment, status) || condition.reason === "ProgressDeadlineExceeded") return undefined;
  if (condition.reason === "NewReplicaSetAvailable") return undefined;
  return Math.max(1000, deadlineMs(deployment, condition) - nowMs + 1000);
}
