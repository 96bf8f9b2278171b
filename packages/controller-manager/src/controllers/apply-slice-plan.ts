/** Carries out a plan for EndpointSlices and remembers what was written; shared by endpointslice and its mirroring. */
import { discovery } from "@knarr/api/generated/resources.ts";
import { keyOf } from "@knarr/apimachinery/object.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import type { ControllerContext } from "../controller-context.ts";
import type { EndpointSlicePlan } from "../core/endpoint-slice-plan.ts";
import { isNamespaceTerminating } from "./pod-control.ts";
import type { SliceTracker } from "./slice-tracker.ts";

/** `key` is the Service's. A namespace that goes away takes no new slices: the rest of the plan is dropped. */
export async function applySlicePlan(
  { client, clock }: ControllerContext,
  of: {
    readonly key: string;
    readonly plan: Pick<EndpointSlicePlan, "create" | "update" | "delete">;
    readonly tracker: SliceTracker;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const { key, plan, tracker, signal } = of;
  for (const slice of plan.create) {
    try {
      tracker.wrote(key, await client.create(discovery.endpointslices, slice, { signal }), clock.monotonicMs());
    } catch (error) {
      if (isNamespaceTerminating(error)) return;
      throw error;
    }
  }
  for (const slice of plan.update) {
    tracker.wrote(key, await client.update(discovery.endpointslices, slice, { signal }), clock.monotonicMs());
  }
  for (const slice of plan.delete) {
    try {
      const preconditions = { uid: slice.metadata.uid };
      await client.delete(discovery.endpointslices, keyOf(slice), { preconditions, signal });
      tracker.deleted(key, slice, clock.monotonicMs());
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }
}
