/**
 * Reads and writes the ControllerRevisions of a StatefulSet or DaemonSet.
 * Source: kubernetes/pkg/controller/history/controller_history.go
 */
import { apps } from "@knarr/api/generated/resources.ts";
import type { ControllerRevision } from "@knarr/api/generated/types/apps-v1.ts";
import type { LabelSelector } from "@knarr/apimachinery/generated/meta-v1.ts";
import { type KubeObject, keyOf } from "@knarr/apimachinery/object.ts";
import type { ResourceRef } from "@knarr/apimachinery/resource.ts";
import { isAlreadyExists, isNotFound } from "@knarr/apimachinery/status-error.ts";
import type { Client } from "@knarr/client/client.ts";
import type { Informer } from "@knarr/client/informer.ts";
import { retryOnConflict } from "@knarr/client/retry-on-conflict.ts";
import { orphansIn, ownedBy } from "@knarr/controller/owner-index.ts";
import { sameData, sortRevisions } from "../core/revision-plan.ts";
import { claimObjects } from "./claim-objects.ts";

/** Every revision that the owner controls, adopted ones included, oldest first. */
export async function listRevisions<O extends KubeObject>(
  { client, informer, signal }: { client: Client; informer: Informer<ControllerRevision>; signal: AbortSignal },
  { owner, ownerRef, selector }: { owner: O; ownerRef: ResourceRef<O>; selector: LabelSelector | undefined },
): Promise<readonly ControllerRevision[]> {
  const claimed = await claimObjects(
    { client, ref: apps.controllerrevisions, ownerRef, signal },
    {
      owner,
      selector,
      owned: ownedBy(informer, owner.metadata.uid ?? ""),
      orphans: orphansIn(informer, owner.metadata.namespace ?? ""),
    },
  );
  return sortRevisions(claimed);
}

/**
 * Creates the revision that `make` builds; where its name is taken by another, the count is raised and it is built anew.
 * Resolves with the revision, which may have been there, and the count.
 */
export async function createRevision(
  client: Client,
  {
    make,
    collisionCount,
    signal,
  }: {
    make: (collisionCount: number) => ControllerRevision;
    collisionCount: number;
    signal: AbortSignal;
  },
): Promise<{ readonly revision: ControllerRevision; readonly collisionCount: number }> {
  for (let count = collisionCount; ; count++) {
    const body = make(count);
    try {
      return { revision: await client.create(apps.controllerrevisions, body, { signal }), collisionCount: count };
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
      const existing = await client.get(apps.controllerrevisions, keyOf(body), { signal });
      if (sameData(existing.data, body.data)) return { revision: existing, collisionCount: count };
    }
  }
}

/** Gives a revision a new number. */
export function renumberRevision(
  client: Client,
  revision: ControllerRevision,
  { to, signal }: { to: number; signal: AbortSignal },
): Promise<ControllerRevision> {
  let current = revision;
  return retryOnConflict(async () => {
    try {
      return await client.update(apps.controllerrevisions, { ...current, revision: to }, { signal });
    } catch (error) {
      current = await client.get(apps.controllerrevisions, keyOf(revision), { signal });
      throw error;
    }
  });
}

export async function deleteRevision(client: Client, revision: ControllerRevision, signal: AbortSignal): Promise<void> {
  const preconditions = { uid: revision.metadata.uid };
  try {
    await client.delete(apps.controllerrevisions, keyOf(revision), { preconditions, signal });
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}
