/**
 * What users see of the scheduler: events, the PodScheduled condition and the nominated node of pods that can't be placed.
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
  /** By scheduler name: events come from the profile. */
  readonly recorderFor: (pod: Pod) => EventRecorder;
  /** The pod as the informer has it now. */
  readonly currentPod: (namespace: string, name: string) => Pod | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** Status writes under way at once; the latest one per pod waits for its turn beyond that. */
const MAX_WRITES = 16;

interface Write {
  readonly pod: Pod;
  readonly condition?: { readonly reason: string; readonly message: string };
  readonly nominate?: string | undefined;
}

export function apiReports(options: ReportsOptions): SchedulerReports {
  const writer = new StatusWriter(options);
  return {
    scheduled(pod, nodeName) {
      const message = `Successfully assigned ${keyString(keyOf(pod))} to ${nodeName}`;
      options.recorderFor(pod).event(referenceTo(pod), "Normal", "Scheduled", message);
    },
    failed(pod, reason, message, nominate) {
      options.recorderFor(pod).event(referenceTo(pod), "Warning", "FailedScheduling", message);
      writer.add({ pod, condition: { reason, message }, nominate });
    },
    clearNomination: (pod) => writer.add({ pod, nominate: "" }),
  };
}

/** Writes pod statuses, at most one at a time per pod and only the latest. */
class StatusWriter {
  readonly #options: ReportsOptions;
  readonly #waiting = new Map<string, Write>();
  #active = 0;

  constructor(options: ReportsOptions) {
    this.#options = options;
  }

  add(write: Write): void {
    if (isNothing(this.#latest(write.pod), write)) return;
    this.#waiting.set(write.pod.metadata.uid ?? keyString(keyOf(write.pod)), write);
    while (this.#active < MAX_WRITES && this.#waiting.size > 0) this.#next();
  }

  #latest(pod: Pod): Pod {
    const { namespace, name } = keyOf(pod);
    const current = this.#options.currentPod(namespace, name);
    return current?.metadata.uid === pod.metadata.uid && current !== undefined ? current : pod;
  }

  #next(): void {
    const [first] = this.#waiting;
    if (first === undefined) return;
    const [id, write] = first;
    this.#waiting.delete(id);
    this.#active++;
    this.#write(write)
      .catch((error: unknown) => {
        // The pod went away or was replaced; its condition no longer matters.
        if (isNotFound(error) || isConflict(error) || this.#options.signal.aborted) return;
        this.#options.log.warn({ err: error, pod: keyString(keyOf(write.pod)) }, "could not write the pod's condition");
      })
      .finally(() => {
        this.#active--;
        if (!this.#options.signal.aborted) this.#next();
      });
  }

  async #write(write: Write): Promise<void> {
    const { client, clock, signal } = this.#options;
    const pod = this.#latest(write.pod);
    if (isNothing(pod, write)) return;
    const known = pod.status?.conditions?.find((c) => c.type === "PodScheduled");
    const now = new Date(clock.now()).toISOString().replace(/\.\d+Z$/, "Z");
    const conditions = write.condition && [
      {
        type: "PodScheduled",
        status: "False",
        ...write.condition,
        observedGeneration: pod.metadata.generation,
        lastTransitionTime: known?.status === "False" ? known.lastTransitionTime : now,
      },
    ];
    const nomination = write.nominate === undefined ? {} : { nominatedNodeName: write.nominate || null };
    // The uid in the patch makes it fail, instead of landing on the pod's successor of the same name.
    const status = { ...nomination, ...(conditions === undefined ? {} : { conditions }) };
    const body = { metadata: { uid: pod.metadata.uid }, status };
    await client.patch(core.pods, keyOf(pod), { type: "strategic", body }, { subresource: "status", signal });
  }
}

/** Whether the pod's status says all of it already, or the pod was bound by somebody meanwhile. */
function isNothing(pod: Pod, { condition, nominate }: Write): boolean {
  if ((pod.spec?.nodeName ?? "") !== "") return true;
  const known = pod.status?.conditions?.find((c) => c.type === "PodScheduled");
  const same =
    condition === undefined ||
    (known?.status === "False" && known.reason === condition.reason && known.message === condition.message);
  return same && (nominate === undefined || nominate === (pod.status?.nominatedNodeName ?? ""));
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
