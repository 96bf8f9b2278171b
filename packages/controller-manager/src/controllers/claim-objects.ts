/** Carries out adoption and release. */

import { type KubeObject, keyOf } from "@knarr/apimachinery/object.ts";
import type { ResourceRef } from "@knarr/apimachinery/resource.ts";
import { isNotFound, StatusError } from "@knarr/apimachinery/status-error.ts";
import type { Client } from "@knarr/client/client.ts";
import { adoptPatch, type ClaimView, planClaims, releasePatch } from "../core/claim-plan.ts";

export interface ClaimTarget<T, O> {
  readonly client: Client;
  readonly ref: ResourceRef<T>;
  readonly ownerRef: ResourceRef<O>;
  readonly signal: AbortSignal;
}

/**
 * Adopts and releases as planned and returns everything that the owner controls now. Adopts only after the live owner was
 * seen to be the same and not deleted: the cache may be behind.
 */
export async function claimObjects<T extends KubeObject, O extends KubeObject>(
  target: ClaimTarget<T, O>,
  view: ClaimView<T>,
): Promise<readonly T[]> {
  const { client, ref, signal } = target;
  const { owner, finalizer } = view;
  const plan = planClaims(view);
  const adopted: T[] = [];
  if (plan.adopt.length > 0) {
    const live = await client.get(target.ownerRef, keyOf(owner), { signal });
    if (live.metadata.uid !== owner.metadata.uid) throw new Error(`${owner.kind} was replaced by another of its name`);
    if (live.metadata.deletionTimestamp === undefined) {
      for (const object of plan.adopt) {
        const body = adoptPatch(owner, object.metadata.uid, finalizer);
        const result = await patchUnlessGone(() =>
          client.patch(ref, keyOf(object), { type: "strategic", body }, { signal }),
        );
        if (result !== undefined) adopted.push(result);
      }
    }
  }
  for (const object of plan.release) {
    const body = releasePatch(owner, object.metadata.uid, finalizer);
    await patchUnlessGone(() => client.patch(ref, keyOf(object), { type: "strategic", body }, { signal }));
  }
  return [...plan.owned, ...adopted];
}

/** An object that is gone (404), or was replaced by another of its name (409 or 422: its uid differs), is none of ours. */
async function patchUnlessGone<T>(patch: () => Promise<T>): Promise<T | undefined> {
  try {
    return await patch();
  } catch (error) {
    if (isNotFound(error)) return undefined;
    if (error instanceof StatusError && error.code === 422) return undefined;
    throw error;
  }
}
