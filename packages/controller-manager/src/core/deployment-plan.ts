/**
 * One step of a Deployment: what its ReplicaSets should become now, and its status. Pure: (Deployment, its ReplicaSets,
 * their pods, now) -> plan. Each step leaves the rest to the next reconcile, which its own writes bring about.
 *
 *   deleting ------------------> status only
 *   paused, or scale changed --> scale (proportionally), status
 *   Recreate ------------------> old to 0, wait until their pods are gone, new to desired
 *   RollingUpdate -------------> new up as far as surge allows, else old down as far as availability allows
 *
 * Laws (property-tested): a step never asks for more than desired + maxSurge replicas unless there already are more, and
 * never takes away available pods below desired - maxUnavailable.
 * Source: kubernetes/pkg/controller/deployment/{deployment_controller,sync,rolling,recreate}.go
 */
import type {
  Deployment,
  DeploymentCondition,
  DeploymentStatus,
  ReplicaSet,
} from "@knarr/api/generated/types/apps-v1.ts";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import {
  byCreation,
  desiredReplicas,
  isRollingUpdate,
  maxSurge,
  maxUnavailable,
  newReplicaSetSize,
  REVISION_ANNOTATION,
  type SizedReplicaSet,
  scaleProportionally,
  sumAvailable,
  sumReplicas,
} from "./deployment-math.ts";
import {
  countStatus,
  hasProgressDeadline,
  isComplete,
  progressCheckAfterMs,
  rolloutStatus,
  withCondition,
} from "./deployment-status.ts";
import { isPodTerminal } from "./pod-state.ts";
import { newReplicaSet, nextRevision, replicaSetAnnotations, scaleAnnotations } from "./replica-set-of-deployment.ts";
import { sameTemplate } from "./template-hash.ts";

export interface DeploymentView {
  readonly deployment: Deployment;
  /** Those that the Deployment controls. */
  readonly replicaSets: readonly ReplicaSet[];
  /** By the uid of their ReplicaSet; needed for Recreate only. */
  readonly podsOf: (replicaSetUid: string) => readonly Pod[];
  readonly nowMs: number;
}

export type ReplicaSetStep =
  | { readonly kind: "create"; readonly replicaSet: ReplicaSet }
  /** `from` is the size before, where it changes. */
  | { readonly kind: "update"; readonly replicaSet: ReplicaSet; readonly from?: number }
  | { readonly kind: "delete"; readonly replicaSet: ReplicaSet };

export interface DeploymentPlan {
  readonly steps: readonly ReplicaSetStep[];
  /** The Deployment's own revision annotation, where it has to change. */
  readonly revision?: string;
  readonly status: DeploymentStatus;
  readonly requeueAfterMs?: number | undefined;
}

/** Working state of one plan. */
interface Draft {
  readonly view: DeploymentView;
  readonly current: SizedReplicaSet | undefined;
  readonly old: readonly SizedReplicaSet[];
  /** Annotation and minReadySeconds changes of existing ReplicaSets. */
  readonly changed: Map<ReplicaSet, ReplicaSet>;
  conditions: readonly DeploymentCondition[];
  revision: string | undefined;
  created: ReplicaSet | undefined;
}

export function planDeployment(view: DeploymentView): DeploymentPlan {
  const { deployment } = view;
  const draft = startDraft(view);
  if (deployment.metadata.deletionTimestamp !== undefined) return finish(draft, { rollout: false, cleanUp: false });
  notePause(draft);
  const paused = deployment.spec?.paused === true;
  if (paused || isScaling(draft)) {
    syncNewReplicaSet(draft, false);
    scale(draft);
    return finish(draft, { rollout: false, cleanUp: paused });
  }
  if (isRollingUpdate(deployment)) roll(draft);
  else recreate(draft);
  return finish(draft, { rollout: true, cleanUp: true });
}

function startDraft(view: DeploymentView): Draft {
  const sized = view.replicaSets
    .map((replicaSet): SizedReplicaSet => ({ replicaSet, replicas: desiredReplicas(replicaSet) }))
    .sort(byCreation);
  const template = view.deployment.spec?.template;
  const current = sized.find(({ replicaSet }) => sameTemplate(replicaSet.spec?.template, template));
  return {
    view,
    current,
    old: sized.filter((set) => set !== current),
    changed: new Map(),
    conditions: view.deployment.status?.conditions ?? [],
    revision: undefined,
    created: undefined,
  };
}

/** Pausing stops the progress deadline's clock; both ends of a pause are told. */
function notePause(draft: Draft): void {
  const { deployment, nowMs } = draft.view;
  if (!hasProgressDeadline(deployment)) return;
  const condition = draft.conditions.find((c) => c.type === "Progressing");
  if (condition?.reason === "ProgressDeadlineExceeded") return;
  const paused = deployment.spec?.paused === true;
  const known = condition?.reason === "DeploymentPaused";
  if (paused === known) return;
  const next = paused
    ? { reason: "DeploymentPaused", message: "Deployment is paused" }
    : { reason: "DeploymentResumed", message: "Deployment is resumed" };
  draft.conditions = withCondition(draft.conditions, { type: "Progressing", status: "Unknown", ...next }, nowMs);
}

/** An active ReplicaSet was sized for a number of replicas that is no longer the desired one. */
function isScaling({ view, current, old }: Draft): boolean {
  const desired = String(desiredReplicas(view.deployment));
  return [...(current === undefined ? [] : [current]), ...old]
    .filter(({ replicas }) => replicas > 0)
    .some(({ replicaSet }) => {
      const annotated = replicaSet.metadata.annotations?.["deployment.kubernetes.io/desired-replicas"];
      return annotated !== undefined && annotated !== desired;
    });
}

/** Brings the new ReplicaSet's revision and annotations up to date, or plans its creation. */
function syncNewReplicaSet(draft: Draft, create: boolean): void {
  const { view, current, old } = draft;
  const { deployment, nowMs } = view;
  const revision = nextRevision(old.map(({ replicaSet }) => replicaSet));
  const progressing = draft.conditions.some((c) => c.type === "Progressing");
  const type = "Progressing";
  if (current !== undefined) {
    const { replicaSet } = current;
    const annotations = replicaSetAnnotations(deployment, replicaSet, revision);
    const minReadySeconds = deployment.spec?.minReadySeconds;
    const sameMinReady = (replicaSet.spec?.minReadySeconds ?? 0) === (minReadySeconds ?? 0);
    if (annotations !== undefined || !sameMinReady) change(draft, replicaSet, { annotations, minReadySeconds });
    draft.revision = annotations?.[REVISION_ANNOTATION] ?? replicaSet.metadata.annotations?.[REVISION_ANNOTATION];
    if (hasProgressDeadline(deployment) && !progressing) {
      const message = `Found new replica set "${replicaSet.metadata.name}"`;
      const next = { type, status: "True", reason: "FoundNewReplicaSet", message };
      draft.conditions = withCondition(draft.conditions, next, nowMs);
    }
    return;
  }
  if (!create) return;
  const size = newReplicaSetSize(deployment, old, 0);
  draft.created = newReplicaSet(deployment, size, revision);
  draft.revision = revision;
  if (!hasProgressDeadline(deployment)) return;
  const message = `Created new replica set "${draft.created.metadata.name}"`;
  const next = { type, status: "True", reason: "NewReplicaSetCreated", message };
  draft.conditions = withCondition(draft.conditions, next, nowMs);
}

function change(
  draft: Draft,
  replicaSet: ReplicaSet,
  to: {
    annotations?: Record<string, string> | undefined;
    minReadySeconds?: number | undefined;
    replicas?: number;
  },
): void {
  const base = draft.changed.get(replicaSet) ?? replicaSet;
  const spec = {
    ...base.spec,
    ...("minReadySeconds" in to ? { minReadySeconds: to.minReadySeconds } : {}),
    ...(to.replicas === undefined ? {} : { replicas: to.replicas }),
  } as NonNullable<ReplicaSet["spec"]>;
  const metadata = to.annotations === undefined ? base.metadata : { ...base.metadata, annotations: to.annotations };
  draft.changed.set(replicaSet, { ...base, metadata, spec });
}

function scale(draft: Draft): void {
  const { deployment } = draft.view;
  const all = [...(draft.current === undefined ? [] : [draft.current]), ...draft.old];
  const active = all.filter(({ replicas }) => replicas > 0);
  const newestOld = draft.old.at(-1);
  const only = active.length === 1 ? active[0] : active.length === 0 ? (draft.current ?? newestOld) : undefined;
  if (only !== undefined) {
    only.replicas = desiredReplicas(deployment);
    return;
  }
  if (isSaturated(deployment, draft.current)) {
    for (const set of draft.old) set.replicas = 0;
    return;
  }
  if (isRollingUpdate(deployment)) scaleProportionally(deployment, active);
}

/** The new ReplicaSet has everything that is desired, and all of it is available. */
function isSaturated(deployment: Deployment, current: SizedReplicaSet | undefined): boolean {
  if (current === undefined) return false;
  const desired = desiredReplicas(deployment);
  const annotated = Number(current.replicaSet.metadata.annotations?.["deployment.kubernetes.io/desired-replicas"]);
  const available = current.replicaSet.status?.availableReplicas ?? 0;
  return current.replicas === desired && annotated === desired && available === desired;
}

function roll(draft: Draft): void {
  const { deployment } = draft.view;
  syncNewReplicaSet(draft, true);
  const { current, old } = draft;
  if (current === undefined) return;
  const desired = desiredReplicas(deployment);
  const all = [...old, current];
  const size = current.replicas > desired ? desired : newReplicaSetSize(deployment, all, current.replicas);
  if (size !== current.replicas) {
    current.replicas = size;
    return;
  }
  scaleDownOld(deployment, old, current);
}

/** First what isn't available anyway, oldest first, then as many available pods as may be missing. */
function scaleDownOld(deployment: Deployment, old: readonly SizedReplicaSet[], current: SizedReplicaSet): void {
  const all = [...old, current];
  const minAvailable = desiredReplicas(deployment) - maxUnavailable(deployment);
  const newUnavailable = current.replicas - (current.replicaSet.status?.availableReplicas ?? 0);
  let unhealthy = sumReplicas(all) - minAvailable - newUnavailable;
  if (sumReplicas(old) === 0 || unhealthy <= 0) return;
  for (const set of old) {
    const down = Math.min(unhealthy, Math.max(0, set.replicas - (set.replicaSet.status?.availableReplicas ?? 0)));
    set.replicas -= down;
    unhealthy -= down;
  }
  let available = sumAvailable(all) - minAvailable;
  for (const set of old) {
    if (available <= 0) break;
    const down = Math.min(available, set.replicas);
    set.replicas -= down;
    available -= down;
  }
}

function recreate(draft: Draft): void {
  const { view, old } = draft;
  syncNewReplicaSet(draft, false);
  const active = old.filter(({ replicas }) => replicas > 0);
  for (const set of active) set.replicas = 0;
  if (active.length > 0 || oldPodsRun(draft)) return;
  if (draft.current === undefined) syncNewReplicaSet(draft, true);
  else draft.current.replicas = desiredReplicas(view.deployment);
}

/** Old pods that have not ended, those just being deleted included. */
function oldPodsRun({ view, old }: Draft): boolean {
  return old.some(
    ({ replicaSet }) =>
      (replicaSet.status?.replicas ?? 0) > 0 ||
      view.podsOf(replicaSet.metadata.uid ?? "").some((pod) => !isPodTerminal(pod)),
  );
}

function finish(draft: Draft, how: { rollout: boolean; cleanUp: boolean }): DeploymentPlan {
  const { view, current, old } = draft;
  const { deployment, nowMs } = view;
  const steps: ReplicaSetStep[] = [];
  if (draft.created !== undefined) steps.push({ kind: "create", replicaSet: draft.created });
  const deleting = deployment.metadata.deletionTimestamp !== undefined;
  for (const set of deleting ? [] : [...old, ...(current === undefined ? [] : [current])]) {
    const step = sizeStep(draft, set);
    if (step !== undefined) steps.push(step);
  }
  const input = {
    deployment,
    replicaSets: view.replicaSets,
    newReplicaSet: current?.replicaSet ?? draft.created,
    conditions: draft.conditions,
    nowMs,
  };
  const status = how.rollout ? rolloutStatus(input) : countStatus(input);
  const quiet = steps.length === 0;
  if (how.cleanUp && quiet && (deployment.spec?.paused === true || isComplete(deployment, status))) {
    steps.push(...cleanUpSteps(deployment, old));
  }
  const annotated = deployment.metadata.annotations?.[REVISION_ANNOTATION];
  const revision = deleting || draft.revision === annotated ? undefined : draft.revision;
  return {
    steps,
    ...(revision === undefined ? {} : { revision }),
    status,
    requeueAfterMs: how.rollout ? progressCheckAfterMs(deployment, status, nowMs) : undefined,
  };
}

/** The update that a ReplicaSet needs, if any: its size, the annotations that go with it, what else was changed. */
function sizeStep(draft: Draft, set: SizedReplicaSet): ReplicaSetStep | undefined {
  const { deployment } = draft.view;
  const from = desiredReplicas(set.replicaSet);
  const resized = set.replicas !== from;
  if (resized) change(draft, set.replicaSet, { replicas: set.replicas });
  const touched = draft.changed.get(set.replicaSet) ?? set.replicaSet;
  const annotations = scaleAnnotations(touched, desiredReplicas(deployment), maxSurge(deployment));
  // Sizes of ReplicaSets that are at rest say nothing: their annotations need not follow.
  if (annotations !== undefined && (resized || set.replicas > 0 || set === draft.current)) {
    change(draft, set.replicaSet, { annotations });
  }
  const replicaSet = draft.changed.get(set.replicaSet);
  if (replicaSet === undefined) return undefined;
  return { kind: "update", replicaSet, ...(resized ? { from } : {}) };
}

/** The oldest revisions beyond the history limit, those that nothing runs of any more. */
function cleanUpSteps(deployment: Deployment, old: readonly SizedReplicaSet[]): ReplicaSetStep[] {
  const limit = deployment.spec?.revisionHistoryLimit;
  if (limit === undefined || limit === 2_147_483_647) return [];
  const alive = old.filter(({ replicaSet }) => replicaSet.metadata.deletionTimestamp === undefined);
  const revisionOf = ({ replicaSet }: SizedReplicaSet) =>
    BigInt(/^\d+$/.exec(replicaSet.metadata.annotations?.[REVISION_ANNOTATION] ?? "")?.[0] ?? "0");
  return alive
    .toSorted((a, b) => (revisionOf(a) < revisionOf(b) ? -1 : revisionOf(a) > revisionOf(b) ? 1 : byCreation(a, b)))
    .slice(0, Math.max(0, alive.length - limit))
    .filter(({ replicaSet, replicas }) => replicas === 0 && isAtRest(replicaSet))
    .map(({ replicaSet }) => ({ kind: "delete", replicaSet }));
}

function isAtRest({ metadata, status }: ReplicaSet): boolean {
  return (status?.replicas ?? 0) === 0 && (metadata.generation ?? 0) <= (status?.observedGeneration ?? 0);
}
