/**
 * Ended Jobs with ttlSecondsAfterFinished: deleted, with their pods, when that time is over.
 * Inputs: Jobs. Writes: Jobs (delete). Source: kubernetes/pkg/controller/ttlafterfinished, KEP-592
 */
import { batch } from "@knarr/api/generated/resources.ts";
import type { Job } from "@knarr/api/generated/types/batch-v1.ts";
import { keyOf } from "@knarr/apimachinery/object.ts";
import { keyString, parseKeyString } from "@knarr/apimachinery/resource.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import { after, done, type Result } from "@knarr/controller/reconcile-loop.ts";
import { type Controller, makeQueue, needs, runLoop } from "../controller-context.ts";
import { expiryMs } from "../core/job/job-ttl.ts";

export const ttlAfterFinishedController: Controller = {
  name: "ttl-after-finished-controller",
  aliases: ["ttl-after-finished"],
  start: async (context) => {
    const { client, clock, config } = context;
    const jobs = context.informers.informer(batch.jobs);
    const queue = makeQueue(context);
    const look = (job: Job) => {
      if (expiryMs(job) !== undefined) queue.add(keyString(keyOf(job)));
    };
    jobs.subscribe({ added: look, updated: (_old, job) => look(job) });

    const reconcile = async (key: string, signal: AbortSignal): Promise<Result> => {
      const cached = jobs.get(parseKeyString(key));
      const wait = cached === undefined ? undefined : remainingMs(cached, clock.now());
      if (cached === undefined || wait === undefined) return done;
      if (wait > 0) return after(wait);
      try {
        // The TTL may just have been raised: the live Job decides.
        const live = await client.get(batch.jobs, keyOf(cached), { signal });
        const left = remainingMs(live, clock.now());
        if (left === undefined) return done;
        if (left > 0) return after(left);
        const { uid, resourceVersion } = live.metadata;
        const preconditions = { uid, resourceVersion };
        await client.delete(batch.jobs, keyOf(live), { preconditions, propagationPolicy: "Foreground", signal });
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
      return done;
    };
    const workers = config.concurrentTtlAfterFinishedSyncs;
    return (signal) => runLoop(context, { queue, workers, needs: needs(jobs), reconcile }, signal);
  },
};

function remainingMs(job: Job, nowMs: number): number | undefined {
  const at = expiryMs(job);
  return at === undefined ? undefined : at - nowMs;
}
