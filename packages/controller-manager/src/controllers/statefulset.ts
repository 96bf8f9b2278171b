/**
 * StatefulSets: pods with names, claims and an order of their own.
 * Inputs: StatefulSets, Pods, PersistentVolumeClaims, ControllerRevisions.
 * Writes: Pods, PersistentVolumeClaims (create, owners), ControllerRevisions, StatefulSet status, Events.
 */
import { apps, core } from "@knarr/api/generated/resources.ts";
import type { ControllerRevision, StatefulSet, StatefulSetStatus } from "@knarr/api/generated/types/apps-v1.ts";
import type { PersistentVolumeClaim, Pod } from "@knarr/api/generated/types/core-v1.ts";
import { matchesLabelSelector } from "@knarr/apimachinery/label-selector.ts";
import { controllerOf, keyOf } from "@knarr/apimachinery/object.ts";
import { keyString, parseKeyString } from "@knarr/apimachinery/resource.ts";
import { isAlreadyExists, isNotFound, StatusError } from "@knarr/apimachinery/status-error.ts";
import type { EventRecorder } from "@knarr/client/event-recorder.ts";
import type { Informer } from "@knarr/client/informer.ts";
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
import { planHistory, planRevision, revisionDataOf, revisionHash, revisionOf } from "../core/revision-plan.ts";
import { ordinalIn, podRevision } from "../core/statefulset/stateful-pod.ts";
import { planStatefulSet, type StatefulSetPlan, type StatefulStep } from "../core/statefulset/stateful-set-plan.ts";
import { claimObjects } from "./claim-objects.ts";
import { messageOf } from "./pod-control.ts";
import { createRevision, deleteRevision, listRevisions, renumberRevision } from "./revision-history.ts";

const HASH_LABEL = "controller.kubernetes.io/hash";

export const statefulsetController: Controller = {
  name: "statefulset-controller",
  aliases: ["statefulset"],
  start: async (context) => {
    const controller = new StatefulSetController(context);
    return (signal) => controller.run(signal);
  },
};

interface Revisions {
  readonly all: readonly ControllerRevision[];
  readonly current: ControllerRevision;
  readonly update: ControllerRevision;
  readonly collisionCount: number;
}

class StatefulSetController {
  readonly #context: ControllerContext;
  readonly #sets: Informer<StatefulSet>;
  readonly #pods: Informer<Pod>;
  readonly #claims: Informer<PersistentVolumeClaim>;
  readonly #revisions: Informer<ControllerRevision>;
  readonly #queue: WorkQueue;
  readonly #recorder: EventRecorder;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#sets = context.informers.informer(apps.statefulsets);
    this.#pods = context.informers.informer(core.pods, { indexers: ownerIndexers });
    this.#claims = context.informers.informer(core.persistentvolumeclaims);
    this.#revisions = context.informers.informer(apps.controllerrevisions, { indexers: ownerIndexers });
    this.#queue = makeQueue(context);
    this.#recorder = makeRecorder(context);
    const enqueue = (set: StatefulSet) => this.#queue.add(keyString(keyOf(set)));
    this.#sets.subscribe({ added: enqueue, updated: (_old, set) => enqueue(set), deleted: enqueue });
    this.#pods.subscribe({
      added: (pod) => this.#podChanged(pod),
      updated: (old, pod) => {
        if (controllerOf(old)?.uid !== controllerOf(pod)?.uid) this.#podChanged(old);
        this.#podChanged(pod);
      },
      deleted: (pod) => this.#podChanged(pod),
    });
  }

  run(signal: AbortSignal): Promise<void> {
    return runLoop(
      this.#context,
      {
        queue: this.#queue,
        workers: this.#context.config.concurrentStatefulsetSyncs,
        needs: needs(this.#sets, this.#pods, this.#claims, this.#revisions),
        reconcile: (key, abort) => this.#reconcile(key, abort),
      },
      signal,
    );
  }

  #podChanged(pod: Pod): void {
    const owner = controllerOf(pod);
    const namespace = pod.metadata.namespace ?? "";
    if (owner !== undefined) {
      if (owner.kind === "StatefulSet") this.#queue.add(keyString({ namespace, name: owner.name }));
      return;
    }
    for (const set of this.#sets.list(namespace)) {
      const fits = matchesLabelSelector(set.spec?.selector, pod.metadata.labels) && ordinalIn(set, pod) !== undefined;
      if (fits) this.#queue.add(keyString(keyOf(set)));
    }
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<Result> {
    const set = this.#sets.get(parseKeyString(key));
    if (set === undefined) return done;
    const { client, clock } = this.#context;
    const pods = await claimObjects(
      { client, ref: core.pods, ownerRef: apps.statefulsets, signal },
      {
        owner: set,
        selector: set.spec?.selector,
        owned: ownedBy(this.#pods, set.metadata.uid ?? ""),
        orphans: orphansIn(this.#pods, set.metadata.namespace ?? ""),
        adoptable: (pod) => ordinalIn(set, pod) !== undefined,
      },
    );
    const revisions = await this.#syncRevisions(set, signal);
    const { namespace = "" } = set.metadata;
    const plan = planStatefulSet({
      set,
      pods,
      claim: (name) => this.#claims.get({ namespace, name }),
      current: revisions.current,
      update: revisions.update,
      collisionCount: revisions.collisionCount,
      nowMs: clock.now(),
    });
    const error = await this.#carryOut(set, plan, signal);
    await this.#writeStatus(set, plan.status, signal);
    if (error !== undefined) throw error;
    await this.#trimHistory(set, { revisions, pods }, signal);
    return plan.requeueAfterMs === undefined ? done : after(plan.requeueAfterMs);
  }

  async #syncRevisions(set: StatefulSet, signal: AbortSignal): Promise<Revisions> {
    const { client } = this.#context;
    const selector = set.spec?.selector;
    const before = await listRevisions(
      { client, informer: this.#revisions, signal },
      { owner: set, ownerRef: apps.statefulsets, selector },
    );
    const data = revisionDataOf(set.spec?.template);
    const change = planRevision(before, data);
    let collisionCount = set.status?.collisionCount ?? 0;
    let update: ControllerRevision;
    if (change.kind === "keep") update = change.revision;
    else if (change.kind === "renumber") {
      update = await renumberRevision(client, change.revision, { to: change.to, signal });
    } else {
      const make = (count: number) => {
        const hash = revisionHash(data, count);
        const labels = { ...set.spec?.template?.metadata?.labels, [HASH_LABEL]: hash };
        return revisionOf(set, { data, hash, revision: change.to, labels, annotations: set.metadata.annotations });
      };
      const created = await createRevision(client, { make, collisionCount, signal });
      update = created.revision;
      collisionCount = created.collisionCount;
    }
    const current = before.find(({ metadata }) => metadata.name === set.status?.currentRevision) ?? update;
    return { all: before, current, update, collisionCount };
  }

  /** The first error, when something could not be done. */
  async #carryOut(set: StatefulSet, { groups, parallel }: StatefulSetPlan, signal: AbortSignal): Promise<unknown> {
    const carryOut = async (index: number) => {
      for (const step of groups[index] ?? []) await this.#step(set, step, signal);
    };
    if (parallel) return (await slowStart(groups.length, carryOut)).error;
    try {
      for (const index of groups.keys()) await carryOut(index);
    } catch (error) {
      return error;
    }
    return undefined;
  }

  async #step(set: StatefulSet, step: StatefulStep, signal: AbortSignal): Promise<void> {
    const { client } = this.#context;
    switch (step.kind) {
      case "createClaim":
        return this.#createClaim(set, step, signal);
      case "updateClaim":
        await client.update(core.persistentvolumeclaims, step.claim, { signal });
        return;
      case "createPod":
        return this.#tell(set, step.pod, "create", () => client.create(core.pods, step.pod, { signal }));
      case "updatePod":
        return this.#tell(set, step.pod, "update", () => client.update(core.pods, step.pod, { signal }));
      case "deletePod": {
        const { namespace, name, uid } = step.pod.metadata;
        if (step.because === "failed") {
          const message = `StatefulSet ${namespace}/${set.metadata.name} is recreating failed Pod ${name}`;
          this.#recorder.event(set, "Warning", "RecreatingFailedPod", message);
        } else if (step.because === "succeeded") {
          const message = `StatefulSet ${namespace}/${set.metadata.name} is recreating terminated Pod ${name}`;
          this.#recorder.event(set, "Normal", "RecreatingTerminatedPod", message);
        }
        return this.#tell(set, step.pod, "delete", () =>
          client.delete(core.pods, keyOf(step.pod), { preconditions: { uid }, signal }),
        );
      }
      default:
        step satisfies never;
    }
  }

  /** "SuccessfulCreate", "create Pod web-0 in StatefulSet web successful", and so on. */
  async #tell(
    set: StatefulSet,
    pod: Pod,
    verb: "create" | "update" | "delete",
    act: () => Promise<unknown>,
  ): Promise<void> {
    const { name } = pod.metadata;
    const reason = verb[0]?.toUpperCase() + verb.slice(1);
    const subject = `${verb} Pod ${name} in StatefulSet ${set.metadata.name}`;
    try {
      await act();
    } catch (error) {
      // Gone already, or another pod of that name: the cache was behind.
      if (verb === "delete" && (isNotFound(error) || (error instanceof StatusError && error.code === 409))) return;
      const exists = verb === "create" && isAlreadyExists(error);
      // Made before, the cache was behind. A stranger of that name is waited for, with back-off.
      if (exists && (await this.#isOurs(set, pod))) return;
      if (!exists) {
        this.#recorder.event(set, "Warning", `Failed${reason}`, `${subject} failed error: ${messageOf(error)}`);
      }
      throw error;
    }
    this.#recorder.event(set, "Normal", `Successful${reason}`, `${subject} successful`);
  }

  async #isOurs(set: StatefulSet, pod: Pod): Promise<boolean> {
    try {
      return controllerOf(await this.#context.client.get(core.pods, keyOf(pod)))?.uid === set.metadata.uid;
    } catch (error) {
      if (isNotFound(error)) return false;
      throw error;
    }
  }

  async #createClaim(
    set: StatefulSet,
    { claim, pod }: { claim: PersistentVolumeClaim; pod: Pod },
    signal: AbortSignal,
  ): Promise<void> {
    const [claimName, podName, setName] = [claim.metadata.name, pod.metadata.name, set.metadata.name];
    try {
      await this.#context.client.create(core.persistentvolumeclaims, claim, { signal });
    } catch (error) {
      if (isAlreadyExists(error)) return;
      const message = `create Claim ${claimName} for Pod ${podName} in StatefulSet ${setName} failed error: ${messageOf(error)}`;
      if (!signal.aborted) this.#recorder.event(set, "Warning", "FailedCreate", message);
      throw error;
    }
    const message = `create Claim ${claimName} Pod ${podName} in StatefulSet ${setName} success`;
    this.#recorder.event(set, "Normal", "SuccessfulCreate", message);
  }

  async #trimHistory(
    set: StatefulSet,
    { revisions, pods }: { revisions: Revisions; pods: readonly Pod[] },
    signal: AbortSignal,
  ): Promise<void> {
    const live = [revisions.current, revisions.update].map(({ metadata }) => metadata.name ?? "");
    const used = new Set([...live, ...pods.map((pod) => podRevision(pod) ?? "")]);
    for (const revision of planHistory(revisions.all, used, set.spec?.revisionHistoryLimit ?? 10)) {
      await deleteRevision(this.#context.client, revision, signal);
    }
  }

  async #writeStatus(set: StatefulSet, status: StatefulSetStatus, signal: AbortSignal): Promise<void> {
    if (sameJson(status, set.status)) return;
    await this.#context.client.update(apps.statefulsets, { ...set, status }, { subresource: "status", signal });
  }
}
