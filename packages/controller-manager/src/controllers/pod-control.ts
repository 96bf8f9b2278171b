/**
 * Creating and deleting the pods of a workload, each told as an event on the workload.
 * Source: kubernetes/pkg/controller/controller_utils.go RealPodControl
 */
import { core } from "@knarr/api/generated/resources.ts";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { type KubeObject, keyOf } from "@knarr/apimachinery/object.ts";
import { isNotFound, StatusError } from "@knarr/apimachinery/status-error.ts";
import type { Client } from "@knarr/client/client.ts";
import type { EventRecorder } from "@knarr/client/event-recorder.ts";

export interface PodControl {
  readonly client: Client;
  readonly recorder: EventRecorder;
  readonly signal: AbortSignal;
}

/** Creates a pod of `owner`. Throws what the server said; a failure is an event, unless the namespace goes away. */
export async function createPod({ client, recorder, signal }: PodControl, owner: KubeObject, body: Pod): Promise<Pod> {
  try {
    const pod = await client.create(core.pods, body, { signal });
    recorder.event(owner, "Normal", "SuccessfulCreate", `Created pod: ${pod.metadata.name}`);
    return pod;
  } catch (failure) {
    if (!signal.aborted && !isNamespaceTerminating(failure)) {
      recorder.event(owner, "Warning", "FailedCreate", `Error creating: ${messageOf(failure)}`);
    }
    throw failure;
  }
}

/** Deletes this very pod. Answers false when it, or its name's current bearer, needs no deleting. */
export async function deletePod(
  { client, recorder, signal }: PodControl,
  owner: KubeObject,
  pod: Pod,
): Promise<boolean> {
  const { name, uid = "" } = pod.metadata;
  try {
    await client.delete(core.pods, keyOf(pod), { preconditions: { uid }, signal });
    recorder.event(owner, "Normal", "SuccessfulDelete", `Deleted pod: ${name}`);
    return true;
  } catch (error) {
    // Gone already, or another pod of that name.
    if (isNotFound(error) || (error instanceof StatusError && error.code === 409)) return false;
    if (!signal.aborted) recorder.event(owner, "Warning", "FailedDelete", `Error deleting: ${messageOf(error)}`);
    throw error;
  }
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** 403 because the namespace is being deleted. */
export function isNamespaceTerminating(error: unknown): boolean {
  if (!(error instanceof StatusError) || error.code !== 403) return false;
  return error.status.details?.causes?.some((cause) => cause.reason === "NamespaceTerminating") === true;
}
