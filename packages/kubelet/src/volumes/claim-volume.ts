/**
 * Volumes by way of a claim: persistentVolumeClaim, and ephemeral, whose claim the controller manager makes. The claim
 * leads to a PersistentVolume; what kind that is decides how it is mounted.
 * Source of the wording: kubernetes/pkg/kubelet/volumemanager/populator
 */
import { mkdirSync, readdirSync } from "node:fs";
import { rmdir } from "node:fs/promises";
import { join } from "node:path";
import type { PersistentVolume, PersistentVolumeClaim, Pod, Volume } from "@knarr/api/generated/types/core-v1.ts";
import { controllerOf } from "@knarr/apimachinery/object.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import { volumeMatchesNode } from "@knarr/scheduling/volumes/claim-matching.ts";
import { PERSISTENT_KINDS, type PersistentKind } from "./persistent-kinds.ts";
import {
  type MountedVolume,
  UnprocessedVolumeError,
  type VolumeContext,
  VolumeError,
  type VolumeKind,
} from "./volume.ts";

export const claimVolume: VolumeKind = {
  // Unused: the folder is that of the persistent volume's kind.
  folder: "kubernetes.io~pvc",
  ownsData: false,
  matches: (volume) => volume.persistentVolumeClaim !== undefined || volume.ephemeral !== undefined,
  async setUp(volume, _directory, context) {
    const claim = await boundClaim(volume, context);
    const persistent = await volumeOf(claim, context);
    const name = persistent.metadata.name ?? "";
    checkMode(volume.name, persistent, context);
    const kind = PERSISTENT_KINDS.find((k) => k.matches(persistent));
    if (kind === undefined) {
      const message = `failed to get Plugin from volumeSpec for volume "${name}" err=no volume plugin matched`;
      throw new UnprocessedVolumeError(message);
    }
    const readOnly = volume.persistentVolumeClaim?.readOnly ?? false;
    return await setUpPersistent(kind, persistent, { ...context, readOnly });
  },
};

/** Source: the words are the populator's (createVolumeSpec). */
function checkMode(name: string, { spec }: PersistentVolume, { pod }: VolumeContext): void {
  const { initContainers = [], containers = [], ephemeralContainers = [] } = pod.spec ?? { containers: [] };
  const all = [...initContainers, ...containers, ...ephemeralContainers];
  const isBlock = spec?.volumeMode === "Block";
  if (isBlock && all.some((c) => c.volumeMounts?.some((m) => m.name === name) === true)) {
    throw new UnprocessedVolumeError(`volume ${name} has volumeMode Block, but is specified in volumeMounts`);
  }
  if (!isBlock && all.some((c) => c.volumeDevices?.some((d) => d.name === name) === true)) {
    throw new UnprocessedVolumeError(`volume ${name} has volumeMode Filesystem, but is specified in volumeDevices`);
  }
}

async function setUpPersistent(
  kind: PersistentKind,
  volume: PersistentVolume,
  context: VolumeContext & { readonly readOnly: boolean },
): Promise<MountedVolume> {
  const name = volume.metadata.name ?? "";
  const node = context.inputs.node();
  if (node !== undefined && !volumeMatchesNode(volume, node)) {
    const stage = "MountVolume.NodeAffinity check failed";
    throw new VolumeError("no matching NodeSelectorTerms", { stage, volume: name });
  }
  const modes = volume.spec?.accessModes ?? [];
  const options = mountOptions(volume);
  if (options.length > 0 && !kind.takesMountOptions) {
    const message = "Mount options are not supported for this volume type";
    throw new VolumeError(message, { stage: "MountVolume.NewMounter initialization failed", volume: name });
  }
  const directory = join(context.volumesDirectory, kind.folder, name);
  const isNew = takeVolume(kind, name, { ...context, alone: modes.length === 1 && modes[0] === "ReadWriteOncePod" });
  try {
    if (volume.spec?.volumeMode === "Block" && !kind.hasDevices) {
      throw new VolumeError(`no volume plugin of volumeMode Block matched`, { stage: "MapVolume.MapDevice failed" });
    }
    return await kind.setUp(volume, { ...context, directory, options });
  } catch (error) {
    // What is mounted, or was there before, stays: the folder says that the volume is in use.
    if (isNew) await rmdir(directory).catch(() => undefined);
    if (error instanceof VolumeError && error.volume !== undefined) throw error;
    const stage = error instanceof VolumeError ? { stage: error.stage } : {};
    const message = error instanceof Error ? error.message : String(error);
    throw new VolumeError(message, { ...stage, volume: name });
  }
}

/** Source: the annotation is the field's older form. */
function mountOptions({ metadata, spec }: PersistentVolume): readonly string[] {
  const annotation = metadata.annotations?.["volume.beta.kubernetes.io/mount-options"] ?? "";
  return annotation === "" ? (spec?.mountOptions ?? []) : annotation.split(",");
}

/**
 * Makes the volume's folder in the pod's, which says that the pod uses it; returns whether it is new. Without a pause
 * between look and make: of two pods that want a volume alone, one gets it.
 */
function takeVolume(kind: PersistentKind, name: string, context: VolumeContext & { readonly alone: boolean }): boolean {
  const pods = join(context.rootDir, "pods");
  const own = context.pod.metadata.uid ?? "";
  const uses = (uid: string) => namesIn(join(pods, uid, "volumes", kind.folder)).includes(name);
  if (context.alone && namesIn(pods).some((uid) => uid !== own && uses(uid))) {
    const message = "mount failed, volume uses the ReadWriteOncePod access mode and is already in use by another pod";
    throw new VolumeError(message, { volume: name });
  }
  if (uses(own)) return false;
  mkdirSync(join(context.volumesDirectory, kind.folder, name), { recursive: true, mode: 0o750 });
  return true;
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return [];
    throw error;
  }
}

async function boundClaim(volume: Volume, { pod, inputs }: VolumeContext): Promise<PersistentVolumeClaim> {
  const namespace = pod.metadata.namespace ?? "";
  const name = volume.persistentVolumeClaim?.claimName ?? `${pod.metadata.name}-${volume.name}`;
  const fail = (why: string, cause?: unknown) =>
    new UnprocessedVolumeError(`error processing PVC ${namespace}/${name}: ${why}`, { cause });
  const claim = await inputs.claim(pod, name).catch((error: unknown) => {
    throw fail(`failed to fetch PVC from API server: ${messageOf(error)}`, error);
  });
  // The claim's protection ends when no pod uses it any more: none may start to.
  if (claim.metadata.deletionTimestamp !== undefined) throw fail("PVC is being deleted");
  if (claim.status?.phase !== "Bound" || (claim.spec?.volumeName ?? "") === "") throw fail("PVC is not bound");
  if (volume.ephemeral !== undefined && !isOwnedBy(claim, pod)) {
    const podName = `${namespace}/${pod.metadata.name}`;
    throw new UnprocessedVolumeError(`PVC ${namespace}/${name} was not created for pod ${podName} (pod is not owner)`);
  }
  return claim;
}

function isOwnedBy(claim: PersistentVolumeClaim, pod: Pod): boolean {
  return controllerOf(claim)?.uid === pod.metadata.uid;
}

async function volumeOf(claim: PersistentVolumeClaim, { pod, inputs }: VolumeContext): Promise<PersistentVolume> {
  const name = claim.spec?.volumeName ?? "";
  const fail = (why: string, cause?: unknown) =>
    new UnprocessedVolumeError(`error processing PVC ${claim.metadata.namespace}/${claim.metadata.name}: ${why}`, {
      cause,
    });
  const volume = await inputs.persistentVolume(pod, name).catch((error: unknown) => {
    if (isNotFound(error))
      throw fail(`failed to fetch PV ${name} from API server: persistentvolumes "${name}" not found`);
    throw fail(`failed to fetch PV ${name} from API server: ${messageOf(error)}`, error);
  });
  const ref = volume.spec?.claimRef;
  if (ref === undefined) {
    throw fail(`found PV object ${name} with nil pv.Spec.ClaimRef indicating it is not yet bound to the claim`);
  }
  if (ref.uid !== claim.metadata.uid) {
    const uids = `with pv.Spec.ClaimRef.UID ${ref.uid ?? ""} that does not point to claim UID ${claim.metadata.uid ?? ""}`;
    throw fail(`found PV object ${name} ${uids}`);
  }
  return volume;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
