/**
 * CronJobs: a Job at each scheduled time.
 * Inputs: CronJobs, Jobs. Writes: Jobs (create, delete), CronJob status, Events.
 * A Job's name is its CronJob's and the scheduled minute, so that no time is ever served twice.
 */
import { batch } from "@knarr/api/generated/resources.ts";
import type { CronJob, CronJobStatus, Job } from "@knarr/api/generated/types/batch-v1.ts";
import { controllerOf, keyOf } from "@knarr/apimachinery/object.ts";
import { keyString, type ObjectKey, parseKeyString } from "@knarr/apimachinery/resource.ts";
import { isAlreadyExists, isNotFound } from "@knarr/apimachinery/status-error.ts";
import type { EventRecorder } from "@knarr/client/event-recorder.ts";
import type { Informer } from "@knarr/client/informer.ts";
import { ownedBy, ownerIndexers } from "@knarr/controller/owner-index.ts";
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
import { type CronJobPlan, planCronJob, withStarted } from "../core/cron/cron-job-plan.ts";
import { isJobFinished } from "../core/job/job-conditions.ts";
import { isNamespaceTerminating, messageOf } from "./pod-control.ts";

export const cronjobController: Controller = {
  name: "cronjob-controller",
  aliases: ["cronjob"],
  start: async (context) => {
    const controller = new CronJobController(context);
    return (signal) => controller.run(signal);
  },
};

class CronJobController {
  readonly #context: ControllerContext;
  readonly #cronJobs: Informer<CronJob>;
  readonly #jobs: Informer<Job>;
  readonly #queue: WorkQueue;
  readonly #recorder: EventRecorder;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#cronJobs = context.informers.informer(batch.cronjobs);
    this.#jobs = context.informers.informer(batch.jobs, { indexers: ownerIndexers });
    this.#queue = makeQueue(context);
    this.#recorder = makeRecorder(context);
    const enqueue = (cronJob: CronJob) => this.#queue.add(keyString(keyOf(cronJob)));
    this.#cronJobs.subscribe({ added: enqueue, updated: (_old, cronJob) => enqueue(cronJob) });
    const enqueueOwner = (job: Job) => {
      const owner = controllerOf(job);
      if (owner?.kind !== "CronJob") return;
      this.#queue.add(keyString({ namespace: job.metadata.namespace ?? "", name: owner.name }));
    };
    this.#jobs.subscribe({
      added: enqueueOwner,
      updated: (_old, job) => enqueueOwner(job),
      deleted: enqueueOwner,
    });
  }

  run(signal: AbortSignal): Promise<void> {
    return runLoop(
      this.#context,
      {
        queue: this.#queue,
        workers: this.#context.config.concurrentCronJobSyncs,
        needs: needs(this.#cronJobs, this.#jobs),
        reconcile: (key, abort) => this.#reconcile(key, abort),
      },
      signal,
    );
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<Result> {
    const cached = this.#cronJobs.get(parseKeyString(key));
    if (cached === undefined) return done;
    const jobs = ownedBy(this.#jobs, cached.metadata.uid ?? "");
    const cronJob = await this.#current(cached, jobs, signal);
    if (cronJob === undefined) return done;
    const plan = planCronJob({
      cronJob,
      jobs,
      missing: await this.#missing(cronJob, jobs, signal),
      localZone: Intl.DateTimeFormat().resolvedOptions().timeZone,
      nowMs: this.#context.clock.now(),
    });
    for (const { type, reason, message } of plan.events) this.#recorder.event(cronJob, type, reason, message);
    let status = plan.status;
    let failure: unknown;
    try {
      status = await this.#start(cronJob, plan, signal);
    } catch (error) {
      failure = error;
    }
    for (const job of plan.remove) await this.#deleteJob(cronJob, keyOf(job), signal);
    if (!sameJson(status, cronJob.status ?? {})) {
      await this.#context.client.update(batch.cronjobs, { ...cronJob, status }, { subresource: "status", signal });
    }
    if (failure !== undefined) throw failure;
    return plan.requeueAfterMs === undefined ? done : after(plan.requeueAfterMs);
  }

  /** The cached CronJob, unless a Job runs that it doesn't list: then the cache may be behind, and the server is asked. */
  async #current(cached: CronJob, jobs: readonly Job[], signal: AbortSignal): Promise<CronJob | undefined> {
    const listed = new Set(cached.status?.active?.map(({ uid }) => uid));
    if (jobs.every((job) => isJobFinished(job) || listed.has(job.metadata.uid))) return cached;
    try {
      const live = await this.#context.client.get(batch.cronjobs, keyOf(cached), { signal });
      return live.metadata.uid === cached.metadata.uid ? live : undefined;
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  /** Which active Jobs are gone; those that the cache doesn't have are asked for. */
  async #missing(cronJob: CronJob, jobs: readonly Job[], signal: AbortSignal): Promise<ReadonlySet<string>> {
    const cached = new Set(jobs.map(({ metadata }) => metadata.uid));
    const missing = new Set<string>();
    for (const { uid = "", namespace = "", name = "" } of cronJob.status?.active ?? []) {
      if (cached.has(uid)) continue;
      try {
        const job = await this.#context.client.get(batch.jobs, { namespace, name }, { signal });
        if (job.metadata.uid !== uid) missing.add(uid);
      } catch (error) {
        if (!isNotFound(error)) throw error;
        missing.add(uid);
      }
    }
    return missing;
  }

  async #start(cronJob: CronJob, plan: CronJobPlan, signal: AbortSignal): Promise<CronJobStatus> {
    if (plan.start === undefined) return plan.status;
    let { status } = plan;
    for (const { namespace = "", name = "", uid } of plan.replace) {
      await this.#deleteJob(cronJob, { namespace, name }, signal);
      status = { ...status, active: (status.active ?? []).filter((ref) => ref.uid !== uid) };
    }
    const { job, scheduledMs } = plan.start;
    try {
      const created = await this.#context.client.create(batch.jobs, job, { signal });
      this.#recorder.event(cronJob, "Normal", "SuccessfulCreate", `Created job ${created.metadata.name}`);
      return withStarted(status, created, scheduledMs);
    } catch (error) {
      if (isAlreadyExists(error)) {
        const existing = await this.#context.client.get(batch.jobs, keyOf(job), { signal });
        // Ours, made before a crash; a stranger's Job of that name is left alone.
        if (controllerOf(existing)?.uid !== cronJob.metadata.uid) return status;
        return withStarted(status, existing, scheduledMs);
      }
      if (!signal.aborted && !isNamespaceTerminating(error)) {
        this.#recorder.event(cronJob, "Warning", "FailedCreate", `Error creating job: ${messageOf(error)}`);
      }
      throw error;
    }
  }

  /** With its pods, in the background. */
  async #deleteJob(cronJob: CronJob, key: ObjectKey, signal: AbortSignal): Promise<void> {
    try {
      await this.#context.client.delete(batch.jobs, key, { propagationPolicy: "Background", signal });
      this.#recorder.event(cronJob, "Normal", "SuccessfulDelete", `Deleted job ${key.name}`);
    } catch (error) {
      if (isNotFound(error)) return;
      if (!signal.aborted) {
        this.#recorder.event(cronJob, "Warning", "FailedDelete", `Deleted job: ${messageOf(error)}`);
      }
      throw error;
    }
  }
}
