/**
 * PodDisruptionBudgets: how many pods may be evicted now. Takes back marks of disruptions that never came.
 * Inputs: PodDisruptionBudgets, Pods, ReplicaSets; other owners by their scale. Writes: PodDisruptionBudget status, the
 * condition DisruptionTarget of pods, Events.
 */
import { apps, core, policy } from "@knarr/api/generated/resources.ts";
import type { ReplicaSet } from "@knarr/api/generated/types/apps-v1.ts";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { PodDisruptionBudget, PodDisruptionBudgetStatus } from "@knarr/api/generated/types/policy-v1.ts";
import type { OwnerReference } from "@knarr/apimachinery/generated/meta-v1.ts";
import { formatLabelSelector, matchesLabelSelector } from "@knarr/apimachinery/label-selector.ts";
import { controllerOf, type KubeObject, keyOf } from "@knarr/apimachinery/object.ts";
import { keyString, parseKeyString } from "@knarr/apimachinery/resource.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import { rfc3339Seconds } from "@knarr/apimachinery/time.ts";
import type { EventRecorder } from "@knarr/client/event-recorder.ts";
import type { Informer } from "@knarr/client/informer.ts";
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
import { failedBudget, needsScale, planBudget, staleMarkAfterMs } from "../core/disruption-plan.ts";
import { isPodReady } from "../core/pod-state.ts";
import { messageOf } from "./pod-control.ts";
import { NoScaleError, ScaleClient } from "./scale-client.ts";

export const disruptionController: Controller = {
  name: "disruption-controller",
  aliases: ["disruption"],
  start: async (context) => {
    const controller = new DisruptionController(context);
    return (signal) => controller.run(signal);
  },
};

interface Workload extends KubeObject {
  readonly spec?: { readonly replicas?: number | undefined } | undefined;
}

class DisruptionController {
  readonly #context: ControllerContext;
  readonly #budgets: Informer<PodDisruptionBudget>;
  readonly #pods: Informer<Pod>;
  readonly #replicaSets: Informer<ReplicaSet>;
  /** By kind, what need not be asked for its scale. */
  readonly #workloads: Readonly<Record<string, Pick<Informer<Workload>, "get" | "waitForSync">>>;
  readonly #queue: WorkQueue;
  /** Pods with a mark that may get stale. */
  readonly #marked: WorkQueue;
  readonly #recorder: EventRecorder;
  readonly #scales: ScaleClient;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#budgets = context.informers.informer(policy.poddisruptionbudgets);
    this.#pods = context.informers.informer(core.pods);
    this.#replicaSets = context.informers.informer(apps.replicasets);
    this.#workloads = {
      ReplicaSet: this.#replicaSets,
      Deployment: context.informers.informer(apps.deployments),
      StatefulSet: context.informers.informer(apps.statefulsets),
      ReplicationController: context.informers.informer(core.replicationcontrollers),
    };
    this.#queue = makeQueue(context);
    this.#marked = makeQueue(context, "stale_pod_disruption");
    this.#recorder = makeRecorder(context, "controllermanager");
    this.#scales = new ScaleClient(context.client, context.clock);
    const enqueue = (budget: PodDisruptionBudget) => this.#queue.add(keyString(keyOf(budget)));
    this.#budgets.subscribe({ added: enqueue, updated: (_old, budget) => enqueue(budget) });
    this.#pods.subscribe({
      added: (pod) => this.#podChanged(pod),
      updated: (old, pod) => {
        if (!sameJson(old.metadata.labels, pod.metadata.labels)) this.#enqueueBudgets(old);
        if (matters(old) !== matters(pod) || !sameJson(old.metadata.labels, pod.metadata.labels)) this.#podChanged(pod);
      },
      deleted: (pod) => this.#enqueueBudgets(pod),
    });
    // The budget follows the scale, not only the pods that came of it.
    this.#replicaSets.subscribe({
      updated: (old, set) => {
        if (old.spec?.replicas !== set.spec?.replicas) this.#enqueueByTemplate(set);
      },
    });
  }

  async run(signal: AbortSignal): Promise<void> {
    const informers = needs(this.#budgets, this.#pods, ...Object.values(this.#workloads));
    await Promise.all([
      runLoop(
        this.#context,
        { queue: this.#queue, workers: 1, needs: informers, reconcile: (key, abort) => this.#reconcile(key, abort) },
        signal,
      ),
      runLoop(
        this.#context,
        { queue: this.#marked, workers: 1, needs: informers, reconcile: (key, abort) => this.#unmark(key, abort) },
        signal,
      ),
    ]);
  }

  #podChanged(pod: Pod): void {
    this.#enqueueBudgets(pod);
    const wait = staleMarkAfterMs(pod, this.#context.clock.now());
    if (wait !== undefined) this.#marked.addAfter(keyString(keyOf(pod)), wait);
  }

  #enqueueBudgets({ metadata }: Pod): void {
    for (const budget of this.#budgets.list(metadata.namespace)) {
      if (matchesLabelSelector(budget.spec?.selector, metadata.labels)) this.#queue.add(keyString(keyOf(budget)));
    }
  }

  #enqueueByTemplate({ metadata, spec }: ReplicaSet): void {
    for (const budget of this.#budgets.list(metadata.namespace)) {
      const labels = spec?.template?.metadata?.labels;
      if (matchesLabelSelector(budget.spec?.selector, labels)) this.#queue.add(keyString(keyOf(budget)));
    }
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<Result> {
    const budget = this.#budgets.get(parseKeyString(key));
    if (budget === undefined) return done;
    const nowMs = this.#context.clock.now();
    const pods = this.#pods
      .list(budget.metadata.namespace)
      .filter((pod) => matchesLabelSelector(budget.spec?.selector, pod.metadata.labels));
    if (pods.length === 0) this.#recorder.event(budget, "Normal", "NoPods", "No matching pods found");
    let expectedScale = 0;
    try {
      if (needsScale(budget)) expectedScale = await this.#expectedScale(budget, pods, signal);
    } catch (error) {
      if (signal.aborted) throw error;
      const message = `Failed to calculate the number of expected pods: ${messageOf(error)}`;
      this.#recorder.event(budget, "Warning", "CalculateExpectedPodCountFailed", message);
      await this.#writeStatus(budget, failedBudget(budget, messageOf(error), nowMs), signal);
      throw error;
    }
    const plan = planBudget({ budget, pods, expectedScale, nowMs });
    for (const pod of plan.notDeleted) {
      const message = `Pod was expected by PDB ${keyString(keyOf(budget))} to be deleted but it wasn't`;
      this.#recorder.event(pod, "Warning", "NotDeleted", message);
    }
    await this.#writeStatus(budget, plan.status, signal);
    return plan.requeueAfterMs === undefined ? done : after(plan.requeueAfterMs);
  }

  /** What the controllers of the pods want in all, each controller once. */
  async #expectedScale(budget: PodDisruptionBudget, pods: readonly Pod[], signal: AbortSignal): Promise<number> {
    const { namespace = "" } = budget.metadata;
    const unmanaged = pods.filter((pod) => controllerOf(pod) === undefined);
    if (unmanaged.length > 0) {
      const selector = formatLabelSelector(budget.spec?.selector);
      this.#recorder.event(
        budget,
        "Warning",
        "UnmanagedPods",
        `Pods selected by this PodDisruptionBudget (selector: ${selector}) were found to be unmanaged. As a result, the ` +
          "status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account for " +
          'these pods please set ".spec.minAvailable" field of the PDB to an integer value.',
      );
    }
    const owners = new Map<string, OwnerReference>();
    for (const pod of pods) {
      const owner = this.#topOwner(namespace, controllerOf(pod));
      if (owner !== undefined) owners.set(owner.uid, owner);
    }
    let total = 0;
    for (const owner of owners.values()) total += await this.#scaleOf(namespace, owner, signal);
    return total;
  }

  /** A ReplicaSet's Deployment counts in its place. */
  #topOwner(namespace: string, owner: OwnerReference | undefined): OwnerReference | undefined {
    if (owner?.kind !== "ReplicaSet" || !owner.apiVersion.startsWith("apps/")) return owner;
    const replicaSet = this.#replicaSets.get({ namespace, name: owner.name });
    const deployment = replicaSet?.metadata.uid === owner.uid ? controllerOf(replicaSet) : undefined;
    return deployment?.kind === "Deployment" ? deployment : owner;
  }

  async #scaleOf(namespace: string, owner: OwnerReference, signal: AbortSignal): Promise<number> {
    const cached = this.#workloads[owner.kind]?.get({ namespace, name: owner.name });
    if (cached !== undefined && cached.metadata.uid === owner.uid) return cached.spec?.replicas ?? 1;
    try {
      const scale = await this.#scales.get(owner, { namespace, name: owner.name }, signal);
      return scale.metadata.uid === owner.uid ? (scale.spec?.replicas ?? 0) : 0;
    } catch (error) {
      // An owner that is gone wants nothing; one of a kind without scale can't be asked.
      if (isNotFound(error) && !(error instanceof NoScaleError)) return 0;
      throw error;
    }
  }

  async #writeStatus(
    budget: PodDisruptionBudget,
    status: PodDisruptionBudgetStatus,
    signal: AbortSignal,
  ): Promise<void> {
    if (sameJson(status, budget.status)) return;
    const ref = policy.poddisruptionbudgets;
    await this.#context.client.update(ref, { ...budget, status }, { subresource: "status", signal });
  }

  async #unmark(key: string, signal: AbortSignal): Promise<Result> {
    const pod = this.#pods.get(parseKeyString(key));
    const nowMs = this.#context.clock.now();
    const wait = pod === undefined ? undefined : staleMarkAfterMs(pod, nowMs);
    if (pod === undefined || wait === undefined) return done;
    if (wait > 0) return after(wait);
    const condition = { type: "DisruptionTarget", status: "False", lastTransitionTime: rfc3339Seconds(nowMs) };
    const body = { metadata: { uid: pod.metadata.uid }, status: { conditions: [condition] } };
    try {
      await this.#context.client.patch(
        core.pods,
        keyOf(pod),
        { type: "strategic", body },
        { subresource: "status", signal },
      );
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
    return done;
  }
}

/** What a budget sees of a pod. */
function matters(pod: Pod): string {
  const mark = pod.status?.conditions?.find(({ type }) => type === "DisruptionTarget");
  return `${isPodReady(pod)} ${pod.metadata.deletionTimestamp !== undefined} ${mark?.status} ${pod.status?.phase}`;
}
