/**
 * Deployments: one ReplicaSet per pod template, moved from the old ones to the new one as the strategy says.
 * Inputs: Deployments, ReplicaSets, Pods. Writes: ReplicaSets, Deployment annotations and status, Events.
 */
import { apps, core } from "@knarr/api/generated/resources.ts";
import type { Deployment, DeploymentStatus, ReplicaSet } from "@knarr/api/generated/types/apps-v1.ts";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { matchesLabelSelector } from "@knarr/apimachinery/label-selector.ts";
import { controllerOf, keyOf } from "@knarr/apimachinery/object.ts";
import { keyString, parseKeyString } from "@knarr/apimachinery/resource.ts";
import { isAlreadyExists, isNotFound } from "@knarr/apimachinery/status-error.ts";
import type { EventRecorder } from "@knarr/client/event-recorder.ts";
import type { Informer } from "@knarr/client/informer.ts";
import { orphansIn, ownedBy, ownerIndexers } from "@knarr/controller/owner-index.ts";
import { after, done, type Result } from "@knarr/controller/reconcile-loop.ts";
import type { WorkQueue } from "@knarr/controller/work-queue.ts";
import {
  type Controller,
  type ControllerContext,
  makeQueue,
  makeRecorder,
  needs,
  runLoop,
} from "../controller-context.ts";
import { sameJson } from "../core/canonical-json.ts";
import { desiredReplicas, REVISION_ANNOTATION } from "../core/deployment-math.ts";
import { planDeployment, type ReplicaSetStep } from "../core/deployment-plan.ts";
import { planRollback } from "../core/deployment-rollback.ts";
import { hasProgressDeadline, withCondition } from "../core/deployment-status.ts";
import { sameTemplate } from "../core/template-hash.ts";
import { claimObjects } from "./claim-objects.ts";
import { isNamespaceTerminating } from "./pod-control.ts";

export const deploymentController: Controller = {
  name: "deployment-controller",
  aliases: ["deployment"],
  start: async (context) => {
    const controller = new DeploymentController(context);
    return (signal) => controller.run(signal);
  },
};

class DeploymentController {
  readonly #context: ControllerContext;
  readonly #deployments: Informer<Deployment>;
  readonly #replicaSets: Informer<ReplicaSet>;
  readonly #pods: Informer<Pod>;
  readonly #queue: WorkQueue;
  readonly #recorder: EventRecorder;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#deployments = context.informers.informer(apps.deployments);
    this.#replicaSets = context.informers.informer(apps.replicasets, { indexers: ownerIndexers });
    this.#pods = context.informers.informer(core.pods, { indexers: ownerIndexers });
    this.#queue = makeQueue(context);
    this.#recorder = makeRecorder(context);
    const enqueue = (deployment: Deployment) => this.#queue.add(keyString(keyOf(deployment)));
    this.#deployments.subscribe({ added: enqueue, updated: (_old, now) => enqueue(now), deleted: enqueue });
    this.#replicaSets.subscribe({
      added: (rs) => this.#replicaSetChanged(rs),
      updated: (old, rs) => {
        if (controllerOf(old)?.uid !== controllerOf(rs)?.uid) this.#replicaSetChanged(old);
        this.#replicaSetChanged(rs);
      },
      deleted: (rs) => this.#replicaSetChanged(rs),
    });
    // Recreate waits for the last old pod to go.
    this.#pods.subscribe({ deleted: (pod) => this.#podGone(pod), updated: (_old, pod) => this.#podEnded(pod) });
  }

  run(signal: AbortSignal): Promise<void> {
    const { concurrentDeploymentSyncs: workers } = this.#context.config;
    return runLoop(
      this.#context,
      {
        queue: this.#queue,
        workers,
        needs: needs(this.#deployments, this.#replicaSets, this.#pods),
        reconcile: (key, abort) => this.#reconcile(key, abort),
      },
      signal,
    );
  }

  #replicaSetChanged(rs: ReplicaSet): void {
    const owner = controllerOf(rs);
    if (owner !== undefined) {
      if (owner.kind === "Deployment") {
        this.#queue.add(keyString({ namespace: rs.metadata.namespace ?? "", name: owner.name }));
      }
      return;
    }
    for (const deployment of this.#deployments.list(rs.metadata.namespace)) {
      if (matchesLabelSelector(deployment.spec?.selector, rs.metadata.labels)) {
        this.#queue.add(keyString(keyOf(deployment)));
      }
    }
  }

  #podGone(pod: Pod): void {
    const owner = controllerOf(pod);
    if (owner?.kind !== "ReplicaSet") return;
    const key = { namespace: pod.metadata.namespace ?? "", name: owner.name };
    const deployment = controllerOf(this.#replicaSets.get(key) ?? { metadata: {} });
    if (deployment?.kind !== "Deployment") return;
    const deploymentKey = { namespace: key.namespace, name: deployment.name };
    if (this.#deployments.get(deploymentKey)?.spec?.strategy?.type === "Recreate")
      this.#queue.add(keyString(deploymentKey));
  }

  #podEnded(pod: Pod): void {
    if (pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed") this.#podGone(pod);
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<Result> {
    const deployment = this.#deployments.get(parseKeyString(key));
    if (deployment === undefined) return done;
    if (selectsEverything(deployment)) return this.#refuse(deployment, signal);
    const { client, clock } = this.#context;
    const replicaSets = await claimObjects(
      { client, ref: apps.replicasets, ownerRef: apps.deployments, signal },
      {
        owner: deployment,
        selector: deployment.spec?.selector,
        owned: ownedBy(this.#replicaSets, deployment.metadata.uid ?? ""),
        orphans: orphansIn(this.#replicaSets, deployment.metadata.namespace ?? ""),
      },
    );
    const rollback = isSteady(deployment) ? planRollback(deployment, replicaSets) : undefined;
    if (rollback !== undefined) {
      const { type, reason, message } = rollback.event;
      await client.update(apps.deployments, rollback.deployment, { signal });
      this.#recorder.event(deployment, type, reason, message);
      // What was asked for is now in the spec; its event brings us back.
      return done;
    }
    const plan = planDeployment({
      deployment,
      replicaSets,
      podsOf: (uid) => ownedBy(this.#pods, uid),
      nowMs: clock.now(),
    });
    for (const step of plan.steps) await this.#apply(deployment, step, signal);
    const current = await this.#annotate(deployment, plan.revision, signal);
    await this.#writeStatus(current, plan.status, signal);
    return plan.requeueAfterMs === undefined ? done : after(plan.requeueAfterMs);
  }

  /** A Deployment that selects all pods is a mistake; it is only told. */
  async #refuse(deployment: Deployment, signal: AbortSignal): Promise<Result> {
    const message = "This deployment is selecting all pods. A non-empty selector is required.";
    this.#recorder.event(deployment, "Warning", "SelectingAll", message);
    const { generation } = deployment.metadata;
    if ((deployment.status?.observedGeneration ?? 0) < (generation ?? 0)) {
      await this.#writeStatus(deployment, { ...deployment.status, observedGeneration: generation }, signal);
    }
    return done;
  }

  async #apply(deployment: Deployment, step: ReplicaSetStep, signal: AbortSignal): Promise<void> {
    const { client } = this.#context;
    const { replicaSet } = step;
    const { name } = replicaSet.metadata;
    switch (step.kind) {
      case "create": {
        await this.#create(deployment, replicaSet, signal);
        const size = desiredReplicas(replicaSet);
        if (size > 0) this.#scaled(deployment, name, { from: 0, to: size });
        return;
      }
      case "update": {
        await client.update(apps.replicasets, replicaSet, { signal });
        if (step.from !== undefined)
          this.#scaled(deployment, name, { from: step.from, to: desiredReplicas(replicaSet) });
        return;
      }
      case "delete":
        try {
          await client.delete(apps.replicasets, keyOf(replicaSet), {
            preconditions: { uid: replicaSet.metadata.uid },
            signal,
          });
        } catch (error) {
          if (!isNotFound(error)) throw error;
        }
        return;
      default:
        step satisfies never;
    }
  }

  #scaled(deployment: Deployment, name: string | undefined, size: { from: number; to: number }): void {
    const direction = size.to > size.from ? "up" : "down";
    const message = `Scaled ${direction} replica set ${name} from ${size.from} to ${size.to}`;
    this.#recorder.event(deployment, "Normal", "ScalingReplicaSet", message);
  }

  /** Creates the new ReplicaSet. One of its name that isn't it means a hash collision: count it and start over. */
  async #create(deployment: Deployment, replicaSet: ReplicaSet, signal: AbortSignal): Promise<void> {
    const { client, clock } = this.#context;
    try {
      await client.create(apps.replicasets, replicaSet, { signal });
    } catch (error) {
      if (isAlreadyExists(error)) {
        const existing = await client.get(apps.replicasets, keyOf(replicaSet), { signal });
        const ours = controllerOf(existing)?.uid === deployment.metadata.uid;
        // The cache was behind: it is the one we would have made.
        if (ours && sameTemplate(existing.spec?.template, deployment.spec?.template)) return;
        const collisionCount = (deployment.status?.collisionCount ?? 0) + 1;
        await this.#writeStatus(deployment, { ...deployment.status, collisionCount }, signal);
        throw error;
      }
      if (isNamespaceTerminating(error)) throw error;
      const message = `Failed to create new replica set "${replicaSet.metadata.name}": ${(error as Error).message}`;
      if (!signal.aborted) this.#recorder.event(deployment, "Warning", "ReplicaSetCreateError", message);
      if (!signal.aborted && hasProgressDeadline(deployment)) {
        const next = { type: "Progressing", status: "False", reason: "ReplicaSetCreateError", message };
        const conditions = withCondition(deployment.status?.conditions ?? [], next, clock.now());
        await this.#writeStatus(deployment, { ...deployment.status, conditions: [...conditions] }, signal);
      }
      throw error;
    }
  }

  async #annotate(deployment: Deployment, revision: string | undefined, signal: AbortSignal): Promise<Deployment> {
    if (revision === undefined) return deployment;
    const annotations = { ...deployment.metadata.annotations, [REVISION_ANNOTATION]: revision };
    const metadata = { ...deployment.metadata, annotations };
    return this.#context.client.update(apps.deployments, { ...deployment, metadata }, { signal });
  }

  async #writeStatus(deployment: Deployment, status: DeploymentStatus, signal: AbortSignal): Promise<void> {
    if (sameJson(status, deployment.status)) return;
    await this.#context.client.update(apps.deployments, { ...deployment, status }, { subresource: "status", signal });
  }
}

/** Neither paused nor on its way out. */
function isSteady({ metadata, spec }: Deployment): boolean {
  return spec?.paused !== true && metadata.deletionTimestamp === undefined;
}

function selectsEverything({ spec }: Deployment): boolean {
  const { matchLabels = {}, matchExpressions = [] } = spec?.selector ?? {};
  return Object.keys(matchLabels).length === 0 && matchExpressions.length === 0;
}
