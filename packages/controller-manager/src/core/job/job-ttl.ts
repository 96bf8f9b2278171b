/** When an ended Job is to be deleted. Pure. Source: kubernetes/pkg/controller/ttlafterfinished */
import type { Job } from "@knarr/api/generated/types/batch-v1.ts";
import { trueCondition } from "./job-conditions.ts";

/** Undefined while the Job runs, has no TTL, or goes already. */
export function expiryMs(job: Job): number | undefined {
  const ttl = job.spec?.ttlSecondsAfterFinished;
  if (ttl === undefined || job.metadata.deletionTimestamp !== undefined) return undefined;
  const end = trueCondition(job, "Complete") ?? trueCondition(job, "Failed");
  const endedMs = Date.parse(end?.lastTransitionTime ?? "");
  return Number.isNaN(endedMs) ? undefined : endedMs + ttl * 1000;
}
