/** Makes, grows and removes one volume. Every step is idempotent: after a crash anywhere the same call goes on. */
import { core } from "@knarr/api/generated/resources.ts";
import type { PersistentVolume, PersistentVolumeClaim } from "@knarr/api/generated/types/core-v1.ts";
import { keyOf } from "@knarr/apimachinery/object.ts";
import { compareQuantities, quantityValue } from "@knarr/apimachinery/quantity.ts";
import { isAlreadyExists, isNotFound } from "@knarr/apimachinery/status-error.ts";
import { rfc3339Seconds } from "@knarr/apimachinery/time.ts";
import type { Client } from "@knarr/client/client.ts";
import type { EventRecorder } from "@knarr/client/event-recorder.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { ProjectQuota } from "./adapters/quota.ts";
import type { VolumeFolders } from "./adapters/volume-folders.ts";
import { capacityOf } from "./core/plan-claim.ts";
import { FINALIZER, folderOf, type NewVolume, volumeFor, volumeNameFor } from "./core/plan-volume.ts";

export interface ProvisionContext {
  readonly client: Client;
  readonly events: EventRecorder;
  readonly clock: Clock;
  readonly folders: VolumeFolders;
  /** Or why sizes are not enforced here. */
  readonly quota: ProjectQuota | undefined;
  readonly quotaMissing: string;
}

export async function provision(
  context: ProvisionContext,
  made: Omit<NewVolume, "path" | "enforced">,
  signal: AbortSignal,
): Promise<void> {
  const { client, events, folders, quota } = context;
  const { claim } = made;
  const { namespace = "", name = "" } = claim.metadata;
  const folder = volumeNameFor(claim);
  events.event(
    claim,
    "Normal",
    "Provisioning",
    `External provisioner is provisioning volume for claim "${namespace}/${name}"`,
  );
  await folders.make({ folder, namespace, name });
  await quota?.set(folder, quantityValue(String(claim.spec?.resources?.requests?.storage ?? "0")));
  const volume = volumeFor({ ...made, path: folders.path(folder), enforced: quota !== undefined });
  try {
    await client.create(core.persistentvolumes, volume, { signal });
  } catch (error) {
    // Made before a crash, or by a request whose answer was lost.
    if (!isAlreadyExists(error)) throw error;
  }
  await folders.settle(folder);
  events.event(claim, "Normal", "ProvisioningSucceeded", `Successfully provisioned volume ${folder}`);
  if (quota === undefined) {
    const message = `the capacity of volume ${folder} is not enforced on node ${made.nodeName}: ${context.quotaMissing}`;
    events.event(claim, "Normal", "CapacityNotEnforced", message);
  }
}

/** Source: kubernetes-csi/external-resizer: the words, and what the claim shows meanwhile. */
export async function expand(
  context: ProvisionContext,
  target: { readonly claim: PersistentVolumeClaim; readonly volume: PersistentVolume; readonly size: string },
  signal: AbortSignal,
): Promise<void> {
  const { client, events, quota, folders } = context;
  const { volume, size } = target;
  const name = volume.metadata.name ?? "";
  const claim = await markResizing(context, target, signal);
  const folder = folderOf(volume, folders.storageDir);
  if (folder === undefined) throw new Error(`volume ${name} is not a folder of ${folders.storageDir}`);
  await quota?.set(folder, quantityValue(size));
  if (compareQuantities(size, capacityOf(volume)) > 0) {
    const body = { spec: { capacity: { storage: size } } };
    await client.patch(core.persistentvolumes, { namespace: "", name }, { type: "merge", body }, { signal });
  }
  const { conditions = [], ...status } = claim.status ?? {};
  const left = conditions.filter(({ type }) => type !== "Resizing" && type !== "ControllerResizeError");
  const { allocatedResourceStatuses: _, ...settled } = status;
  const done = {
    ...settled,
    capacity: { ...status.capacity, storage: size },
    ...(left.length === 0 ? {} : { conditions: left }),
  };
  await client.update(core.persistentvolumeclaims, { ...claim, status: done }, { subresource: "status", signal });
  events.event(claim, "Normal", "VolumeResizeSuccessful", "Resize volume succeeded");
}

async function markResizing(
  { client, events, clock }: ProvisionContext,
  { claim, volume, size }: { claim: PersistentVolumeClaim; volume: PersistentVolume; size: string },
  signal: AbortSignal,
): Promise<PersistentVolumeClaim> {
  const { conditions = [], ...status } = claim.status ?? {};
  const marked = conditions.some(({ type }) => type === "Resizing");
  if (marked && String(status.allocatedResources?.storage ?? "") === size) return claim;
  const since = rfc3339Seconds(clock.now());
  const resizing = { type: "Resizing", status: "True", lastTransitionTime: since };
  const message = `External resizer is resizing volume ${volume.metadata.name}`;
  events.event(claim, "Normal", "Resizing", message);
  const next = {
    ...status,
    allocatedResources: { ...status.allocatedResources, storage: size },
    allocatedResourceStatuses: { ...status.allocatedResourceStatuses, storage: "ControllerResizeInProgress" },
    conditions: [...conditions.filter(({ type }) => type !== "Resizing"), resizing],
  };
  const options = { subresource: "status" as const, signal };
  return await client.update(core.persistentvolumeclaims, { ...claim, status: next }, options);
}

/** Removes the folder, then the object. */
export async function reclaim(context: ProvisionContext, volume: PersistentVolume, signal: AbortSignal): Promise<void> {
  const { client, folders, quota } = context;
  const folder = folderOf(volume, folders.storageDir);
  if (folder === undefined)
    throw new Error(`path ${volume.spec?.local?.path} is not a folder of ${folders.storageDir}`);
  if (quota !== undefined && (await folders.exists(folder))) await quota.clear(folder);
  await folders.discard(folder);
  await folders.emptyTrash();
  const { finalizers = [], resourceVersion, uid } = volume.metadata;
  let current = volume;
  try {
    if (finalizers.includes(FINALIZER)) {
      const metadata = { ...volume.metadata, finalizers: finalizers.filter((f) => f !== FINALIZER) };
      current = await client.update(core.persistentvolumes, { ...volume, metadata }, { signal });
    }
    if (current.metadata.deletionTimestamp !== undefined) return;
    const preconditions = { uid, resourceVersion: current.metadata.resourceVersion ?? resourceVersion };
    await client.delete(core.persistentvolumes, keyOf(volume), { preconditions, signal });
  } catch (error) {
    // Somebody else took the object away: that is what was wanted.
    if (!isNotFound(error)) throw error;
  }
}
