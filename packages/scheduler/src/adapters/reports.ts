/**
 * What users see of the scheduler: events, and the PodScheduled condition of pods that can't be placed.
 * Source: pkg/scheduler/schedule_one.go (handleSchedulingFailure)
 */

import { core } from "@knarr/api/generated/resources.ts";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { keyOf } from "@knarr/apimachinery/object.ts";
import { keyString } from "@knarr/apimachinery/resource.ts";
import { isConflict, isNotFound } from "@knarr/apimachinery/status-error.ts";
import type { Client } from "@knarr/client/client.ts";
import type { EventRecorder } from "@knarr/client/event-recorder.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import type { SchedulerReports } from "../scheduler.ts";

export interface ReportsOptions {
  readonly client: Client;
  readonly recorder: EventRecorder;
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

export function apiReports(options: ReportsOptions): SchedulerReports {
  const { client, recorder, clock, log, signal } = options;
  const setCondition = async (pod: Pod, reason: string, message: string) => {
    const known = pod.status?.conditions?.find((c) => c.type === "PodScheduled");
    if (known?.status === "False" && known.reason === reason && known.message === message) return;
    const now = new Date(clock.now()).toISOString().replace(/\.\d+Z$/, "Z");
    const condition = {
      type: "PodScheduled",
      status: "False",
      reason,
      message,
      observedGeneration: pod.metadata.generation,
      lastTransitionTime: known?.status === "False" ? known.lastTransitionTime : now,
    };
    // The uid in the patch makes it fail, instead of landing on the pod's successor of the same name.
    const body = { metadata: { uid: pod.metadata.uid }, status: { conditions: [condition] } };
    await client.patch(core.pods, keyOf(pod), { type: "strategic", body }, { subresource: "status", signal });
  };
  return {
    scheduled(pod, nodeName) {
      const message = `Successfully assigned ${keyString(keyOf(pod))} to ${nodeName}`;
      recorder.event(referenceTo(pod), "Normal", "Scheduled", message);
    },
    failed(pod, reason, message) {
      recorder.event(referenceTo(pod), "Warning", "FailedScheduling", message);
      setCondition(pod, reason, message).catch((error: unknown) => {
        // The pod went away or was replaced; its condition no longer matters.
        if (isNotFound(error) || isConflict(error) || signal.aborted) return;
        log.warn({ err: error, pod: keyString(keyOf(pod)) }, "could not write the pod's condition");
      });
    },
  };
}

function referenceTo(pod: Pod) {
  return {
    apiVersion: "v1",
    kind: "Pod",
    namespace: pod.metadata.namespace,
    name: pod.metadata.name,
    uid: pod.metadata.uid,
    resourceVersion: pod.metadata.resourceVersion,
  };
}
