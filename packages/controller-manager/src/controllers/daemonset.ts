/**
 * DaemonSets: one pod on every node that fits.
 * Inputs: DaemonSets, Pods, Nodes, ControllerRevisions.
 * Writes: Pods (create, delete, adopt, release), ControllerRevisions, DaemonSet status, Events.
 */
import { apps, core } from "@knarr/api/generated/resources.ts";
import type { ControllerRevision, DaemonSet, DaemonSetStatus } from "@knarr/api/generated/types/apps-v1.ts";
import type { Node, Pod } from "@knarr/api/generated/types/core-v1.ts";
import { matchesLabelSelector } from "@knarr/apimachinery/label-selector.ts";
import { controllerOf, keyOf } from "@knarr/apimachinery/object.ts";
import { keyString, parseKeyString } from "@knarr/apimachinery/resource.ts";
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
import { daemonPod } from "../core/daemonset/daemon-pod.ts";
import {
  type DaemonSetPlan,
  type DaemonSetView,
  daemonSetStatus,
  planDaemonSet,
} from "../core/daemonset/daemon-set-plan.ts";
import { FailureBackoff } from "../core/daemonset/failure-backoff.ts";
import { planHistory, planRevision, REVISION_HASH_LABEL, revisionDataOf, revisionOf } from "../core/revision-plan.ts";
import { templateHash } from "../core/template-hash.ts";
import { claimObjects } from "./claim-objects.ts";
import { createPod, deletePod, isNamespaceTerminating, type PodControl } from "./pod-control.ts";
import { createRevision, deleteRevision, listRevisions, renumberRevision } from "./revision-history.ts";

/** At most so many pods are made or deleted in one go. Source: daemon_controller.go BurstReplicas */
const BURST = 250;

export const daemonsetController: Controller = {
  name: "daemonset-controller",
  aliases: ["daemonset"],
  serviceAccount: "daemon-set-controller",
  start: async (context) => {
    const controller = new DaemonSetController(context);
    return (signal) => controller.run(signal);
  },
};

interface Revisions {
  readonly all: readonly ControllerRevision[];
  readonly update: ControllerRevision;
  readonly hash: string;
  readonly collisionCount: number | undefined;
}

class DaemonSetController {
  readonly #context: ControllerContext;
  readonly #sets: Informer<DaemonSet>;
  readonly #pods: Informer<Pod>;
  readonly #nodes: Informer<Node>;
  readonly #revisions: Informer<ControllerRevision>;
  readonly #queue: WorkQueue;
  readonly #expectations: Expectations;
  readonly #recorder: EventRecorder;
  readonly #failures: FailureBackoff;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#sets = context.informers.informer(apps.daemonsets);
    this.#pods = context.informers.informer(core.pods, { indexers: ownerIndexers });
    this.#nodes = context.informers.informer(core.nodes);
    this.#revisions = context.informers.informer(apps.controllerrevisions, { indexers: ownerIndexers });
    this.#queue = makeQueue(context);
    this.#expectations = new Expectations(context.clock);
    this.#recorder = makeRecorder(context);
    this.#failures = new FailureBackoff();
    const enqueue = (set: DaemonSet) => this.#queue.add(keyString(keyOf(set)));
    this.#sets.subscribe({
      added: enqueue,
      updated: (_old, set) => enqueue(set),
      deleted: (set) => {
        this.#expectations.forget(keyString(keyOf(set)));
        this.#failures.forget(set.metadata.uid ?? "");
      },
    });
    this.#pods.subscribe({
      added: (pod) => this.#podAdded(pod),
      updated: (old, pod) => this.#podUpdated(old, pod),
      deleted: (pod) => this.#podGone(pod),
    });
    const everySet = () => {
      for (const set of this.#sets.list()) enqueue(set);
    };
    this.#nodes.subscribe({
      added: everySet,
      deleted: everySet,
      updated: (old, node) => {
        if (!sameJson(placement(old), placement(node))) everySet();
      },
    });
  }

  run(signal: AbortSignal): Promise<void> {
    return runLoop(
      this.#context,
      {
        queue: this.#queue,
        workers: this.#context.config.concurrentDaemonsetSyncs,
        needs: needs(this.#sets, this.#pods, this.#nodes, this.#revisions),
        reconcile: (key, abort) => this.#reconcile(key, abort),
      },
      signal,
    );
  }

  #podAdded(pod: Pod): void {
    const key = ownerKey(pod);
    if (pod.metadata.deletionTimestamp !== undefined) this.#podGone(pod);
    else if (key === undefined) this.#enqueueAdopters(pod);
    else {
      this.#expectations.creationObserved(key);
      this.#queue.add(key);
    }
  }

  #podUpdated(old: Pod, pod: Pod): void {
    if (old.metadata.deletionTimestamp === undefined && pod.metadata.deletionTimestamp !== undefined) {
      this.#podGone(pod);
      return;
    }
    const [before, now] = [ownerKey(old), ownerKey(pod)];
    if (before !== undefined && before !== now) this.#queue.add(before);
    if (now !== undefined) this.#queue.add(now);
    else if (before !== undefined || !sameJson(old.metadata.labels, pod.metadata.labels)) this.#enqueueAdopters(pod);
  }

  #podGone(pod: Pod): void {
    const key = ownerKey(pod);
    if (key === undefined) return;
    this.#expectations.deletionObserved(key, pod.metadata.uid ?? "");
    this.#queue.add(key);
  }

  #enqueueAdopters(pod: Pod): void {
    if (controllerOf(pod) !== undefined) return;
    for (const set of this.#sets.list(pod.metadata.namespace)) {
      if (matchesLabelSelector(set.spec?.selector, pod.metadata.labels)) this.#queue.add(keyString(keyOf(set)));
    }
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<Result> {
    const set = this.#sets.get(parseKeyString(key));
    if (set === undefined || set.metadata.deletionTimestamp !== undefined) return done;
    const { matchLabels = {}, matchExpressions = [] } = set.spec?.selector ?? {};
    if (Object.keys(matchLabels).length === 0 && matchExpressions.length === 0) {
      const message = "This daemon set is selecting all pods. A non-empty selector is required.";
      this.#recorder.event(set, "Warning", "SelectingAll", message);
      return done;
    }
    const revisions = await this.#syncRevisions(set, signal);
    // Judged before the cache is read: whatever arrives afterwards only makes the cache newer.
    const settled = this.#expectations.satisfied(key);
    const view = await this.#view(set, revisions.hash, signal);
    const plan = planDaemonSet(view);
    const error = settled ? await this.#carryOut(key, { set, plan, hash: revisions.hash }, signal) : undefined;
    await this.#writeStatus(set, daemonSetStatus(view, revisions.collisionCount), signal);
    if (error !== undefined) throw error;
    await this.#trimHistory(set, { revisions, pods: view.pods }, signal);
    return plan.requeueAfterMs === undefined ? done : after(plan.requeueAfterMs);
  }

  async #view(set: DaemonSet, hash: string, signal: AbortSignal): Promise<DaemonSetView> {
    const { client, clock } = this.#context;
    const { uid = "", namespace = "" } = set.metadata;
    const pods = await claimObjects(
      { client, ref: core.pods, ownerRef: apps.daemonsets, signal },
      {
        owner: set,
        selector: set.spec?.selector,
        owned: ownedBy(this.#pods, uid),
        orphans: orphansIn(this.#pods, namespace),
      },
    );
    const nowMs = clock.now();
    const backoffMs = (node: string) => this.#failures.remainingMs(uid, node, nowMs);
    return { set, nodes: this.#nodes.list(), pods, hash, backoffMs, nowMs };
  }

  async #syncRevisions(set: DaemonSet, signal: AbortSignal): Promise<Revisions> {
    const { client } = this.#context;
    const all = await listRevisions(
      { client, informer: this.#revisions, signal },
      { owner: set, ownerRef: apps.daemonsets, selector: set.spec?.selector },
    );
    const data = revisionDataOf(set.spec?.template);
    const change = planRevision(all, data);
    let { collisionCount } = set.status ?? {};
    let update: ControllerRevision;
    if (change.kind === "keep") update = change.revision;
    else if (change.kind === "renumber") {
      update = await renumberRevision(client, change.revision, { to: change.to, signal });
    } else {
      const make = (count: number) => {
        const hash = templateHash(set.spec?.template ?? {}, count === 0 ? undefined : count);
        const labels = { ...set.spec?.template?.metadata?.labels, [REVISION_HASH_LABEL]: hash };
        return revisionOf(set, { data, hash, revision: change.to, labels, annotations: set.metadata.annotations });
      };
      const created = await createRevision(client, { make, collisionCount: collisionCount ?? 0, signal });
      update = created.revision;
      if (created.collisionCount > 0) collisionCount = created.collisionCount;
    }
    const hash = update.metadata.labels?.[REVISION_HASH_LABEL] ?? update.metadata.name ?? "";
    return { all, update, hash, collisionCount };
  }

  /** The first error, when something could not be done. */
  async #carryOut(
    key: string,
    { set, plan, hash }: { set: DaemonSet; plan: DaemonSetPlan; hash: string },
    signal: AbortSignal,
  ): Promise<unknown> {
    const control: PodControl = { client: this.#context.client, recorder: this.#recorder, signal };
    for (const { pod, node } of plan.ended) this.#tellEnded(set, pod, node);
    const remove = plan.remove.slice(0, BURST);
    const create = plan.create.slice(0, BURST);
    const uids = remove.map((pod) => pod.metadata.uid ?? "");
    if (create.length + uids.length === 0) return undefined;
    this.#expectations.expect(key, { creations: create.length, deletions: uids });
    const [made, removed] = await Promise.all([
      slowStart(create.length, async (i) => {
        await createPod(control, set, daemonPod(set, create[i] ?? "", hash));
      }),
      Promise.allSettled(remove.map((pod) => this.#delete(key, { control, set, pod }))),
    ]);
    for (let missing = create.length - made.succeeded; missing > 0; missing--) this.#expectations.creationObserved(key);
    const failed = removed.find((result) => result.status === "rejected");
    if (failed !== undefined) return failed.reason;
    return made.error !== undefined && isNamespaceTerminating(made.error) ? undefined : made.error;
  }

  async #delete(key: string, of: { control: PodControl; set: DaemonSet; pod: Pod }): Promise<void> {
    const gone = () => this.#expectations.deletionObserved(key, of.pod.metadata.uid ?? "");
    try {
      if (!(await deletePod(of.control, of.set, of.pod))) gone();
    } catch (error) {
      gone();
      throw error;
    }
  }

  #tellEnded(set: DaemonSet, pod: Pod, node: string): void {
    const { namespace, name } = pod.metadata;
    if (pod.status?.phase === "Succeeded") {
      const message = `Found succeeded daemon pod ${namespace}/${name} on node ${node}, will try to delete it`;
      this.#recorder.event(set, "Normal", "SucceededDaemonPod", message);
      return;
    }
    this.#failures.note(set.metadata.uid ?? "", node, this.#context.clock.now());
    const message = `Found failed daemon pod ${namespace}/${name} on node ${node}, will try to kill it`;
    this.#recorder.event(set, "Warning", "FailedDaemonPod", message);
  }

  async #trimHistory(
    set: DaemonSet,
    { revisions, pods }: { revisions: Revisions; pods: readonly Pod[] },
    signal: AbortSignal,
  ): Promise<void> {
    const hashes = new Set(pods.map((pod) => pod.metadata.labels?.[REVISION_HASH_LABEL]));
    const used = revisions.all.filter(({ metadata }) => hashes.has(metadata.labels?.[REVISION_HASH_LABEL]));
    const live = new Set([revisions.update, ...used].map(({ metadata }) => metadata.name ?? ""));
    for (const revision of planHistory(revisions.all, live, set.spec?.revisionHistoryLimit ?? 10)) {
      await deleteRevision(this.#context.client, revision, signal);
    }
  }

  async #writeStatus(set: DaemonSet, status: DaemonSetStatus, signal: AbortSignal): Promise<void> {
    if (sameJson(status, set.status)) return;
    await this.#context.client.update(apps.daemonsets, { ...set, status }, { subresource: "status", signal });
  }
}

function ownerKey(pod: Pod): string | undefined {
  const owner = controllerOf(pod);
  if (owner?.kind !== "DaemonSet") return undefined;
  return keyString({ namespace: pod.metadata.namespace ?? "", name: owner.name });
}

/** What of a node decides whether daemons belong there. */
function placement({ metadata, spec }: Node): unknown {
  return { labels: metadata.labels, taints: spec?.taints, unschedulable: spec?.unschedulable };
}
