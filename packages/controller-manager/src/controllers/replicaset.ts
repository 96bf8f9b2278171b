/**
 * ReplicaSets, and ReplicationControllers, which are the same in older clothes: as many pods as they ask for.
 * Inputs: ReplicaSets or ReplicationControllers, Pods. Writes: Pods (create, delete, adopt, release), their status, Events.
 */
import { apps, core } from "@knarr/api/generated/resources.ts";
import type { ReplicaSet, ReplicaSetStatus } from "@knarr/api/generated/types/apps-v1.ts";
import type { Pod, ReplicationController } from "@knarr/api/generated/types/core-v1.ts";
import type { OwnerReference } from "@knarr/apimachinery/generated/meta-v1.ts";
import { matchesLabelSelector } from "@knarr/apimachinery/label-selector.ts";
import { controllerOf, type KubeObject, keyOf } from "@knarr/apimachinery/object.ts";
import { keyString, parseKeyString, type ResourceRef } from "@knarr/apimachinery/resource.ts";
import type { EventRecorder } from "@knarr/client/event-recorder.ts";
import type { Informer } from "@knarr/client/informer.ts";
import { Expectations } from "@knarr/controller/expectations.ts";
import { orphansIn, ownedBy, ownerIndexers } from "@knarr/controller/owner-index.ts";
import { after, done, type Result } from "@knarr/controller/reconcile-loop.ts";
import { slowStart } from "@knarr/controller/slow-start.ts";
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
import { isPodTerminal } from "../core/pod-state.ts";
import { podOf } from "../core/pod-template.ts";
import {
  nextAvailabilityMs,
  planReplicas,
  type ReplicaFailure,
  type ReplicaSetView,
  replicaSetStatus,
} from "../core/replica-set-plan.ts";
import { claimObjects } from "./claim-objects.ts";
import { createPod, deletePod, isNamespaceTerminating, messageOf } from "./pod-control.ts";

export const replicasetController: Controller = {
  name: "replicaset-controller",
  aliases: ["replicaset"],
  start: async (context) => {
    const controller = new ReplicaSetController(context, {
      ref: apps.replicasets,
      isOwner: ({ kind, apiVersion }) => kind === "ReplicaSet" && apiVersion.startsWith("apps/"),
      workers: context.config.concurrentReplicasetSyncs,
      asReplicaSet: (replicaSet: ReplicaSet) => replicaSet,
      withStatus: (replicaSet, status) => ({ ...replicaSet, status }),
    });
    return (signal) => controller.run(signal);
  },
};

export const replicationcontrollerController: Controller = {
  name: "replicationcontroller-controller",
  aliases: ["replicationcontroller"],
  serviceAccount: "replication-controller",
  start: async (context) => {
    const controller = new ReplicaSetController(context, {
      ref: core.replicationcontrollers,
      isOwner: ({ kind, apiVersion }) => kind === "ReplicationController" && apiVersion === "v1",
      workers: context.config.concurrentRcSyncs,
      asReplicaSet: replicaSetOf,
      withStatus: (controller, { terminatingReplicas: _none, ...status }) => ({ ...controller, status }),
    });
    return (signal) => controller.run(signal);
  },
};

/** A ReplicationController's selector is a plain map, and by default its template's labels. */
function replicaSetOf({ spec, ...rest }: ReplicationController): ReplicaSet {
  if (spec === undefined) return rest;
  const { selector, template, ...counts } = spec;
  const matchLabels = selector ?? template?.metadata?.labels;
  return {
    ...rest,
    spec: {
      ...counts,
      selector: matchLabels === undefined ? {} : { matchLabels },
      ...(template === undefined ? {} : { template }),
    },
  };
}

/** What tells the two kinds apart. */
interface Variant<T extends KubeObject> {
  readonly ref: ResourceRef<T>;
  readonly workers: number;
  isOwner(owner: OwnerReference): boolean;
  /** Keeps apiVersion, kind and metadata: pods are owned by what they are owned by. */
  asReplicaSet(object: T): ReplicaSet;
  withStatus(object: T, status: ReplicaSetStatus): T;
}

class ReplicaSetController<T extends KubeObject> {
  readonly #context: ControllerContext;
  readonly #variant: Variant<T>;
  readonly #objects: Informer<T>;
  readonly #pods: Informer<Pod>;
  readonly #queue: WorkQueue;
  readonly #expectations: Expectations;
  readonly #recorder: EventRecorder;

  constructor(context: ControllerContext, variant: Variant<T>) {
    this.#context = context;
    this.#variant = variant;
    this.#objects = context.informers.informer(variant.ref, { indexers: ownerIndexers });
    this.#pods = context.informers.informer(core.pods, { indexers: ownerIndexers });
    this.#queue = makeQueue(context);
    this.#expectations = new Expectations(context.clock);
    this.#recorder = makeRecorder(context);
    this.#objects.subscribe({
      added: (rs) => this.#queue.add(keyString(keyOf(rs))),
      updated: (_old, rs) => this.#queue.add(keyString(keyOf(rs))),
      deleted: (rs) => {
        this.#expectations.forget(keyString(keyOf(rs)));
        this.#queue.add(keyString(keyOf(rs)));
      },
    });
    this.#pods.subscribe({
      added: (pod) => this.#podAdded(pod),
      updated: (old, pod) => this.#podUpdated(old, pod),
      deleted: (pod) => this.#podGone(pod),
    });
  }

  run(signal: AbortSignal): Promise<void> {
    return runLoop(
      this.#context,
      {
        queue: this.#queue,
        workers: this.#variant.workers,
        needs: needs(this.#objects, this.#pods),
        reconcile: (key, abort) => this.#reconcile(key, abort),
      },
      signal,
    );
  }

  #podAdded(pod: Pod): void {
    const key = this.#ownerKey(pod);
    if (pod.metadata.deletionTimestamp !== undefined) this.#podGone(pod);
    else if (key === undefined) this.#enqueueAdopters(pod);
    else {
      this.#expectations.creationObserved(key);
      this.#queue.add(key);
    }
  }

  #podUpdated(old: Pod, pod: Pod): void {
    // A pod on its way out is as good as gone: its place is to be filled now.
    if (old.metadata.deletionTimestamp === undefined && pod.metadata.deletionTimestamp !== undefined) {
      this.#podGone(pod);
      return;
    }
    const [before, now] = [this.#ownerKey(old), this.#ownerKey(pod)];
    if (before !== undefined && before !== now) this.#queue.add(before);
    if (now !== undefined) this.#queue.add(now);
    else if (before !== undefined || !sameJson(old.metadata.labels, pod.metadata.labels)) this.#enqueueAdopters(pod);
  }

  #podGone(pod: Pod): void {
    const key = this.#ownerKey(pod);
    if (key === undefined) return;
    this.#expectations.deletionObserved(key, pod.metadata.uid ?? "");
    this.#queue.add(key);
  }

  #ownerKey(pod: Pod): string | undefined {
    const owner = controllerOf(pod);
    if (owner === undefined || !this.#variant.isOwner(owner)) return undefined;
    return keyString({ namespace: pod.metadata.namespace ?? "", name: owner.name });
  }

  /** An orphan: whoever selects it may want it. */
  #enqueueAdopters(pod: Pod): void {
    if (controllerOf(pod) !== undefined) return;
    for (const object of this.#objects.list(pod.metadata.namespace)) {
      const { selector } = this.#variant.asReplicaSet(object).spec ?? {};
      if (matchesLabelSelector(selector, pod.metadata.labels)) this.#queue.add(keyString(keyOf(object)));
    }
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<Result> {
    const object = this.#objects.get(parseKeyString(key));
    if (object === undefined) {
      this.#expectations.forget(key);
      return done;
    }
    const replicaSet = this.#variant.asReplicaSet(object);
    // Judged before the cache is read: whatever arrives afterwards only makes the cache newer.
    const settled = this.#expectations.satisfied(key);
    const { client, clock } = this.#context;
    const pods = await claimObjects(
      { client, ref: core.pods, ownerRef: this.#variant.ref, signal },
      {
        owner: replicaSet,
        selector: replicaSet.spec?.selector,
        owned: ownedBy(this.#pods, replicaSet.metadata.uid ?? ""),
        orphans: orphansIn(this.#pods, replicaSet.metadata.namespace ?? ""),
        adoptable: (pod) => !isPodTerminal(pod),
      },
    );
    const view: ReplicaSetView = { replicaSet, pods, related: this.#relatedPods(replicaSet), nowMs: clock.now() };
    const outcome = settled ? await this.#manage(key, view, signal) : {};
    await this.#writeStatus(object, replicaSetStatus(view, outcome.failure), signal);
    if (outcome.error !== undefined) throw outcome.error;
    const waitMs = nextAvailabilityMs(view);
    return waitMs === undefined ? done : after(waitMs);
  }

  #relatedPods(replicaSet: ReplicaSet): readonly Pod[] {
    const owner = controllerOf(replicaSet);
    const siblings: readonly KubeObject[] = owner === undefined ? [replicaSet] : ownedBy(this.#objects, owner.uid);
    return siblings.flatMap((sibling) => ownedBy(this.#pods, sibling.metadata.uid ?? ""));
  }

  async #manage(
    key: string,
    view: ReplicaSetView,
    signal: AbortSignal,
  ): Promise<{ failure?: ReplicaFailure; error?: unknown }> {
    const plan = planReplicas(view);
    switch (plan.kind) {
      case "none":
        return {};
      case "create":
        return this.#create(key, view.replicaSet, plan.count, signal);
      case "delete":
        return this.#delete(key, view.replicaSet, plan.pods, signal);
      default:
        return plan satisfies never;
    }
  }

  async #create(
    key: string,
    replicaSet: ReplicaSet,
    count: number,
    signal: AbortSignal,
  ): Promise<{ failure?: ReplicaFailure; error?: unknown }> {
    this.#expectations.expectCreations(key, count);
    const body = podOf(replicaSet, replicaSet.spec?.template ?? {});
    const { succeeded, error } = await slowStart(count, async () => {
      await createPod({ client: this.#context.client, recorder: this.#recorder, signal }, replicaSet, body);
    });
    for (let missing = count - succeeded; missing > 0; missing--) this.#expectations.creationObserved(key);
    if (error === undefined) return {};
    // Nothing can be made in a namespace that goes away, and soon the ReplicaSet goes too.
    if (isNamespaceTerminating(error)) return {};
    return { error, failure: { reason: "FailedCreate", message: messageOf(error) } };
  }

  async #delete(
    key: string,
    replicaSet: ReplicaSet,
    pods: readonly Pod[],
    signal: AbortSignal,
  ): Promise<{ failure?: ReplicaFailure; error?: unknown }> {
    this.#expectations.expectDeletions(
      key,
      pods.map((pod) => pod.metadata.uid ?? ""),
    );
    const results = await Promise.allSettled(pods.map((pod) => this.#deletePod(key, { replicaSet, pod }, signal)));
    const failed = results.find((result) => result.status === "rejected");
    if (failed === undefined) return {};
    return { error: failed.reason, failure: { reason: "FailedDelete", message: messageOf(failed.reason) } };
  }

  async #deletePod(
    key: string,
    { replicaSet, pod }: { replicaSet: ReplicaSet; pod: Pod },
    signal: AbortSignal,
  ): Promise<void> {
    const gone = () => this.#expectations.deletionObserved(key, pod.metadata.uid ?? "");
    try {
      const deleted = await deletePod(
        { client: this.#context.client, recorder: this.#recorder, signal },
        replicaSet,
        pod,
      );
      if (!deleted) gone();
    } catch (error) {
      gone();
      throw error;
    }
  }

  async #writeStatus(object: T, status: ReplicaSetStatus, signal: AbortSignal): Promise<void> {
    const next = this.#variant.withStatus(object, status);
    if (sameJson(next, object)) return;
    await this.#context.client.update(this.#variant.ref, next, { subresource: "status", signal });
  }
}
