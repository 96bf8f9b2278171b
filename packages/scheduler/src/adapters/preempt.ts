/** Removes pods for one of higher priority. Source: pkg/scheduler/framework/preemption (PreemptPod) */
import { core } from "@knarr/api/generated/resources.ts";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { keyOf } from "@knarr/apimachinery/object.ts";
import { isConflict, isNotFound } from "@knarr/apimachinery/status-error.ts";
import type { Client } from "@knarr/client/client.ts";
import type { EventRecorder } from "@knarr/client/event-recorder.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import { schedulerNameOf } from "../core/pod-info.ts";
import type { Preempt } from "../scheduler.ts";

export interface PreemptOptions {
  readonly client: Client;
  readonly recorderFor: (pod: Pod) => EventRecorder;
  readonly clock: Clock;
}

export function apiPreempt({ client, recorderFor, clock }: PreemptOptions): Preempt {
  const remove = async (victim: Pod, preemptor: Pod, nodeName: string, signal: AbortSignal) => {
    // Already on its way out: asking again would change nothing.
    if (victim.metadata.deletionTimestamp !== undefined) return;
    const key = keyOf(victim);
    const condition = {
      type: "DisruptionTarget",
      status: "True",
      reason: "PreemptionByScheduler",
      message: `${schedulerNameOf(preemptor)}: preempting to accommodate a higher priority pod`,
      observedGeneration: victim.metadata.generation,
      lastTransitionTime: new Date(clock.now()).toISOString().replace(/\.\d+Z$/, "Z"),
    };
    const body = { metadata: { uid: victim.metadata.uid }, status: { conditions: [condition] } };
    try {
      await client.patch(core.pods, key, { type: "strategic", body }, { subresource: "status", signal });
      await client.delete(core.pods, key, { preconditions: { uid: victim.metadata.uid }, signal });
    } catch (error) {
      // Gone, or replaced by another pod of its name: what was to go is gone.
      if (isNotFound(error) || isConflict(error)) return;
      throw error;
    }
    const text = `Preempted by pod ${preemptor.metadata.uid} on node ${nodeName}`;
    recorderFor(preemptor).event(referenceTo(victim), "Normal", "Preempted", text);
  };
  return async (pod, plan, signal) => {
    const results = await Promise.allSettled(
      plan.victims.map((victim) => remove(victim.pod, pod, plan.nodeName, signal)),
    );
    const failed = results.find((result) => result.status === "rejected");
    if (failed !== undefined) throw failed.reason;
  };
}

function referenceTo({ metadata: { namespace, name, uid, resourceVersion } }: Pod) {
  return { apiVersion: "v1", kind: "Pod", namespace, name, uid, resourceVersion };
}
