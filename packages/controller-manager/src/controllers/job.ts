/**
 * Jobs: pods until enough of them have succeeded, each counted exactly once.
 * Inputs: Jobs, Pods. Writes: Pods (create, delete, adopt, release, finalizers), Job status, Events.
 * Order of writes, which is what makes counting safe: status with the uids, then finalizers, then status with the counts.
 */
import { batch, core } from "@knarr/api/generated/resources.ts";
import type { Job, JobCondition, JobStatus } from "@knarr/api/generated/types/batch-v1.ts";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { matchesLabelSelector } from "@knarr/apimachinery/label-selector.ts";
import { controllerOf, keyOf } from "@knarr/apimachinery/object.ts";
import { keyString, parseKeyString } from "@knarr/apimachinery/resource.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
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
import { type BackoffRecord, noFailures } from "../core/job/job-backoff.ts";
import { isJobFinished } from "../core/job/job-conditions.ts";
import { assessJob, type JobAssessment, type StepOutcome, settleCounts, trackPods } from "../core/job/job-plan.ts";
import { hasTrackingFinalizer, JOB_TRACKING_FINALIZER, podOfJob } from "../core/job/job-pods.ts";
import { isPodTerminal } from "../core/pod-state.ts";
import { claimObjects } from "./claim-objects.ts";
import { type JobAction, JobMetrics } from "./job-metrics.ts";
import { createPod, deletePod, isNamespaceTerminating, type PodControl } from "./pod-control.ts";

/** Changes of pods within this become one status. Source: job_controller.go syncJobBatchPeriod */
const BATCH_MS = 1000;
const OURSELVES = "kubernetes.io/job-controller";

export const jobController: Controller = {
  name: "job-controller",
  aliases: ["job"],
  start: async (context) => {
    const controller = new JobController(context);
    return (signal) => controller.run(signal);
  },
};

/** What a sync did, as its metrics name it. */
const ACTIONS: Readonly<Record<JobAssessment["step"]["kind"], JobAction>> = {
  unsettled: "reconciling",
  none: "tracking",
  wait: "tracking",
  create: "pods_created",
  remove: "pods_deleted",
  end: "pods_deleted",
};

interface KnownJob {
  readonly uid: string;
  backoff: BackoffRecord;
  /** Pods whose finalizer we removed, until the cache shows it. */
  readonly released: Set<string>;
}

class JobController {
  readonly #context: ControllerContext;
  readonly #jobs: Informer<Job>;
  readonly #pods: Informer<Pod>;
  readonly #queue: WorkQueue;
  /** Pods that have our finalizer and no Job that would count them. */
  readonly #orphans: WorkQueue;
  readonly #expectations: Expectations;
  readonly #recorder: EventRecorder;
  readonly #metrics: JobMetrics;
  readonly #known = new Map<string, KnownJob>();

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#jobs = context.informers.informer(batch.jobs);
    this.#pods = context.informers.informer(core.pods, { indexers: ownerIndexers });
    this.#queue = makeQueue(context);
    this.#orphans = makeQueue(context, "orphan_pod");
    this.#expectations = new Expectations(context.clock);
    this.#recorder = makeRecorder(context);
    this.#metrics = new JobMetrics(context.registry);
    const enqueue = (job: Job) => this.#queue.add(keyString(keyOf(job)));
    this.#jobs.subscribe({
      added: (job) => {
        enqueue(job);
        if (!isOurs(job)) this.#metrics.external(job.spec?.managedBy ?? "");
      },
      updated: (_old, job) => {
        enqueue(job);
        if (isJobFinished(job)) this.#enqueueOrphansOf(job);
      },
      deleted: (job) => {
        enqueue(job);
        this.#enqueueOrphansOf(job);
      },
    });
    this.#pods.subscribe({
      added: (pod) => {
        this.#metrics.podChanged(undefined, pod);
        this.#podAdded(pod);
      },
      updated: (old, pod) => {
        this.#metrics.podChanged(old, pod);
        this.#podUpdated(old, pod);
      },
      deleted: (pod) => {
        this.#metrics.podChanged(pod, undefined);
        this.#podGone(pod, true);
      },
    });
  }

  async run(signal: AbortSignal): Promise<void> {
    const { concurrentJobSyncs: workers } = this.#context.config;
    const informers = needs(this.#jobs, this.#pods);
    await Promise.all([
      this.#sweepOrphans(signal),
      runLoop(
        this.#context,
        { queue: this.#queue, workers, needs: informers, reconcile: (key, abort) => this.#reconcile(key, abort) },
        signal,
      ),
      runLoop(
        this.#context,
        {
          queue: this.#orphans,
          workers: 1,
          needs: informers,
          reconcile: (key, abort) => this.#releaseOrphan(key, abort),
        },
        signal,
      ),
    ]);
  }

  /** Jobs may have gone while nobody was looking: what is there at the start is looked at once. */
  async #sweepOrphans(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#jobs.waitForSync(signal), this.#pods.waitForSync(signal)]);
    for (const pod of this.#pods.list()) this.#checkOrphan(pod);
  }

  #podAdded(pod: Pod): void {
    const key = this.#jobKey(pod);
    if (key !== undefined && pod.metadata.deletionTimestamp === undefined) {
      this.#expectations.creationObserved(key);
      this.#queue.addAfter(key, BATCH_MS);
    } else if (key !== undefined) this.#podGone(pod, false);
    else this.#enqueueAdopters(pod);
    this.#checkOrphan(pod);
  }

  #podUpdated(old: Pod, pod: Pod): void {
    const [before, now] = [this.#jobKey(old), this.#jobKey(pod)];
    if (old.metadata.deletionTimestamp === undefined && pod.metadata.deletionTimestamp !== undefined) {
      this.#podGone(pod, false);
    }
    if (now !== undefined && !hasTrackingFinalizer(pod)) this.#known.get(now)?.released.delete(pod.metadata.uid ?? "");
    if (before !== undefined && before !== now) this.#queue.addAfter(before, BATCH_MS);
    if (now !== undefined) this.#queue.addAfter(now, isPodTerminal(pod) && !isPodTerminal(old) ? 0 : BATCH_MS);
    else if (before !== undefined || !sameJson(old.metadata.labels, pod.metadata.labels)) this.#enqueueAdopters(pod);
    this.#checkOrphan(pod);
  }

  #podGone(pod: Pod, forGood: boolean): void {
    const key = this.#jobKey(pod);
    if (key === undefined) return;
    const uid = pod.metadata.uid ?? "";
    this.#expectations.deletionObserved(key, uid);
    if (forGood) this.#known.get(key)?.released.delete(uid);
    this.#queue.addAfter(key, BATCH_MS);
  }

  #jobKey(pod: Pod): string | undefined {
    const owner = controllerOf(pod);
    if (owner?.kind !== "Job" || !owner.apiVersion.startsWith("batch/")) return undefined;
    return keyString({ namespace: pod.metadata.namespace ?? "", name: owner.name });
  }

  #enqueueAdopters(pod: Pod): void {
    if (controllerOf(pod) !== undefined) return;
    for (const job of this.#jobs.list(pod.metadata.namespace)) {
      if (matchesLabelSelector(job.spec?.selector, pod.metadata.labels)) this.#queue.add(keyString(keyOf(job)));
    }
  }

  #checkOrphan(pod: Pod): void {
    if (this.#isOrphan(pod)) this.#orphans.add(keyString(keyOf(pod)));
  }

  #enqueueOrphansOf(job: Job): void {
    for (const pod of ownedBy(this.#pods, job.metadata.uid ?? "")) this.#checkOrphan(pod);
  }

  /** With our finalizer, but no unfinished Job of ours to take it away. */
  #isOrphan(pod: Pod): boolean {
    if (!hasTrackingFinalizer(pod) || !this.#jobs.synced) return false;
    const owner = controllerOf(pod);
    if (owner === undefined) return true;
    const key = this.#jobKey(pod);
    // Another kind of owner: what the finalizer means there is its affair.
    if (key === undefined) return false;
    const job = this.#jobs.get(parseKeyString(key));
    if (job === undefined || job.metadata.uid !== owner.uid) return true;
    return isJobFinished(job) && isOurs(job);
  }

  async #releaseOrphan(key: string, signal: AbortSignal): Promise<Result> {
    const pod = this.#pods.get(parseKeyString(key));
    if (pod === undefined || !this.#isOrphan(pod)) return done;
    if (!(await this.#isCounted(pod, signal))) await this.#removeFinalizer(pod, signal);
    return done;
  }

  /** Whether the server knows an unfinished Job of ours for it: then only the cache was behind. */
  async #isCounted(pod: Pod, signal: AbortSignal): Promise<boolean> {
    const key = this.#jobKey(pod);
    if (key === undefined) return false;
    try {
      const job = await this.#context.client.get(batch.jobs, parseKeyString(key), { signal });
      return job.metadata.uid === controllerOf(pod)?.uid && !isJobFinished(job);
    } catch (error) {
      if (isNotFound(error)) return false;
      throw error;
    }
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<Result> {
    const job = this.#jobs.get(parseKeyString(key));
    if (job === undefined) {
      this.#expectations.forget(key);
      this.#known.delete(key);
      return done;
    }
    if (!isOurs(job)) return done;
    if (isJobFinished(job)) {
      this.#known.delete(key);
      return done;
    }
    const mode = job.spec?.completionMode ?? "NonIndexed";
    if (mode !== "NonIndexed" && mode !== "Indexed") {
      const message = "Skipped Job sync because completion mode is unknown";
      this.#recorder.event(job, "Warning", "UnknownCompletionMode", message);
      return done;
    }
    return this.#sync(key, job, signal);
  }

  async #sync(key: string, job: Job, signal: AbortSignal): Promise<Result> {
    const { client, clock } = this.#context;
    const known = this.#knownJob(key, job);
    // Judged before the cache is read: whatever arrives afterwards only makes the cache newer.
    const settled = this.#expectations.satisfied(key);
    const released = new Set(known.released);
    const pods = await claimObjects(
      { client, ref: core.pods, ownerRef: batch.jobs, signal },
      {
        owner: job,
        selector: job.spec?.selector,
        owned: ownedBy(this.#pods, job.metadata.uid ?? ""),
        orphans: orphansIn(this.#pods, job.metadata.namespace ?? ""),
        finalizer: JOB_TRACKING_FINALIZER,
      },
    );
    const assessment = assessJob({ job, pods, settled, released, backoff: known.backoff, nowMs: clock.now() });
    const startedAt = clock.monotonicMs();
    let isDone = false;
    try {
      const { outcome, error } = await this.#step(key, assessment, signal);
      await this.#track(assessment, { known, outcome }, signal);
      if (error !== undefined) throw error;
      isDone = true;
    } finally {
      this.#metrics.synced(job, ACTIONS[assessment.step.kind], isDone, clock.monotonicMs() - startedAt);
    }
    return assessment.requeueAfterMs === undefined ? done : after(assessment.requeueAfterMs);
  }

  #knownJob(key: string, job: Job): KnownJob {
    const uid = job.metadata.uid ?? "";
    const known = this.#known.get(key);
    if (known?.uid === uid) return known;
    const fresh: KnownJob = { uid, backoff: noFailures, released: new Set() };
    this.#known.set(key, fresh);
    return fresh;
  }

  async #step(
    key: string,
    { view, step, delayed, failed }: JobAssessment,
    signal: AbortSignal,
  ): Promise<{ outcome: StepOutcome; error?: unknown }> {
    const control: PodControl = { client: this.#context.client, recorder: this.#recorder, signal };
    switch (step.kind) {
      case "none":
      case "unsettled":
      case "wait":
        return { outcome: { created: 0, deleted: [] } };
      case "create": {
        const make = (index: number | undefined) =>
          podOfJob(view.job, index, index === undefined ? undefined : delayed.get(index));
        return this.#create(key, { control, job: view.job, failed, bodies: step.indexes.map(make) });
      }
      case "remove":
        this.#expectations.expectDeletions(
          key,
          step.pods.map((pod) => pod.metadata.uid ?? ""),
        );
        return this.#delete(step.pods, async (pod) => {
          try {
            await this.#removeFinalizer(pod, signal);
            if (!(await deletePod(control, view.job, pod))) this.#deletionMissed(key, pod);
          } catch (error) {
            this.#deletionMissed(key, pod);
            throw error;
          }
        });
      case "end":
        return this.#delete(step.pods, async (pod) => {
          await deletePod(control, view.job, pod);
        });
      default:
        return step satisfies never;
    }
  }

  #deletionMissed(key: string, pod: Pod): void {
    this.#expectations.deletionObserved(key, pod.metadata.uid ?? "");
  }

  async #create(
    key: string,
    { control, job, failed, bodies }: { control: PodControl; job: Job; failed: number; bodies: readonly Pod[] },
  ): Promise<{ outcome: StepOutcome; error?: unknown }> {
    this.#expectations.expectCreations(key, bodies.length);
    const { succeeded, error } = await slowStart(bodies.length, async (i) => {
      await createPod(control, job, bodies[i] as Pod);
    });
    for (let missing = bodies.length - succeeded; missing > 0; missing--) this.#expectations.creationObserved(key);
    this.#metrics.created(job, failed, { succeeded, failed: error === undefined ? 0 : 1 });
    const outcome = { created: succeeded, deleted: [] };
    // Nothing can be made in a namespace that goes away, and soon the Job goes too.
    return error === undefined || isNamespaceTerminating(error) ? { outcome } : { outcome, error };
  }

  async #delete(
    pods: readonly Pod[],
    remove: (pod: Pod) => Promise<void>,
  ): Promise<{ outcome: StepOutcome; error?: unknown }> {
    const results = await Promise.allSettled(pods.map(remove));
    const deleted = pods.filter((_pod, i) => results[i]?.status === "fulfilled");
    const failed = results.find((result) => result.status === "rejected");
    const outcome = { created: 0, deleted };
    return failed === undefined ? { outcome } : { outcome, error: failed.reason };
  }

  async #track(
    assessment: JobAssessment,
    { known, outcome }: { known: KnownJob; outcome: StepOutcome },
    signal: AbortSignal,
  ): Promise<void> {
    const tracking = trackPods(assessment, outcome);
    const written = await this.#writeStatus(assessment.view.job, tracking.status, signal);
    known.backoff = assessment.backoff;
    if (tracking.event !== undefined) {
      this.#recorder.event(written, "Normal", tracking.event, `Job ${tracking.event.toLowerCase()}`);
    }
    const { uids, error } = await this.#release(known, tracking.releases, signal);
    const { status, finished } = settleCounts(tracking, uids);
    const last = await this.#writeStatus(written, error === undefined ? status : withoutEnd(status, finished), signal);
    const released = new Set(uids);
    this.#metrics.counted(assessment.view.job, last.status ?? {});
    this.#metrics.released(
      assessment.view.job,
      tracking.releases.filter((pod) => released.has(pod.metadata.uid ?? "")),
    );
    if (error !== undefined) throw error;
    if (finished !== undefined) {
      this.#metrics.finished(last, finished);
      this.#tellEnd(last, finished);
    }
  }

  #tellEnd(job: Job, { type, reason = "", message = "" }: JobCondition): void {
    if (type !== "Complete") {
      this.#recorder.event(job, "Warning", reason, message);
      return;
    }
    const { completions } = job.spec ?? {};
    if (completions !== undefined && (job.status?.succeeded ?? 0) > completions) {
      const tooMany = "Too many succeeded pods running after completion count reached";
      this.#recorder.event(job, "Warning", "TooManySucceededPods", tooMany);
    }
    this.#recorder.event(job, "Normal", "Completed", "Job completed");
  }

  /** Removes the finalizers and remembers it; answers with the uids of those pods that have none now. */
  async #release(
    known: KnownJob,
    pods: readonly Pod[],
    signal: AbortSignal,
  ): Promise<{ uids: readonly string[]; error?: unknown }> {
    for (const pod of pods) known.released.add(pod.metadata.uid ?? "");
    const results = await Promise.allSettled(pods.map((pod) => this.#removeFinalizer(pod, signal)));
    const uids: string[] = [];
    let error: unknown;
    for (const [i, result] of results.entries()) {
      const uid = pods[i]?.metadata.uid ?? "";
      if (result.status === "fulfilled") {
        uids.push(uid);
        if (result.value === "gone") known.released.delete(uid);
        continue;
      }
      known.released.delete(uid);
      error ??= result.reason;
    }
    return error === undefined ? { uids } : { uids, error };
  }

  async #removeFinalizer(pod: Pod, signal: AbortSignal): Promise<"removed" | "gone"> {
    if (!hasTrackingFinalizer(pod)) return "gone";
    const { uid } = pod.metadata;
    const body = { metadata: { uid, "$deleteFromPrimitiveList/finalizers": [JOB_TRACKING_FINALIZER] } };
    try {
      await this.#context.client.patch(core.pods, keyOf(pod), { type: "strategic", body }, { signal });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
    // The cache may have caught up while we waited for the answer; until then, the pod must not be counted again.
    const cached = this.#pods.get(keyOf(pod));
    return cached !== undefined && cached.metadata.uid === uid && hasTrackingFinalizer(cached) ? "removed" : "gone";
  }

  async #writeStatus(job: Job, status: JobStatus, signal: AbortSignal): Promise<Job> {
    if (sameJson(status, job.status)) return job;
    return this.#context.client.update(batch.jobs, { ...job, status }, { subresource: "status", signal });
  }
}

function isOurs({ spec }: Job): boolean {
  return spec?.managedBy === undefined || spec.managedBy === OURSELVES;
}

/** The progress without the end: some finalizers could not be removed, the next try will finish. */
function withoutEnd(status: JobStatus, finished: { type: string } | undefined): JobStatus {
  if (finished === undefined) return status;
  const { completionTime: _time, conditions = [], ...rest } = status;
  return { ...rest, conditions: conditions.filter(({ type }) => type !== finished.type) };
}
