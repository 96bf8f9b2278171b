/**
 * The volumes of one pod on disk: <root>/pods/UID/volumes/KIND/NAME. Holds no state but the folders; what is there is
 * found again after a restart.
 */
import { readdir, rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import type { Pod, Volume } from "@knarr/api/generated/types/core-v1.ts";
import { mountsBelow, unmountBelow } from "../adapters/mounts.ts";
import { VOLUME_KINDS } from "./index.ts";
import { type VolumeContext, VolumeError } from "./volume.ts";

export interface VolumeFailure {
  readonly volume: string;
  readonly message: string;
}

export interface VolumeSetup {
  /** Volume name -> path on the node. */
  readonly paths: ReadonlyMap<string, string>;
  readonly failures: readonly VolumeFailure[];
}

/** "<root>/pods/UID" */
export function podDirectory(root: string, uid: string): string {
  return join(root, "pods", uid);
}

/** Sets up every volume that a container of the pod mounts; goes on after a failure so that all are reported. */
export async function setUpVolumes(root: string, context: VolumeContext): Promise<VolumeSetup> {
  const paths = new Map<string, string>();
  const failures: VolumeFailure[] = [];
  const used = usedVolumes(context.pod);
  for (const volume of context.pod.spec?.volumes ?? []) {
    if (!used.has(volume.name)) continue;
    try {
      paths.set(volume.name, await setUpOne(root, volume, context));
    } catch (error) {
      // Whatever stops a volume is told in an event and tried again: the pod waits for it.
      failures.push({ volume: volume.name, message: error instanceof Error ? error.message : String(error) });
    }
  }
  return { paths, failures };
}

async function setUpOne(root: string, volume: Volume, context: VolumeContext): Promise<string> {
  const kind = VOLUME_KINDS.find((k) => k.matches(volume));
  if (kind === undefined) throw new VolumeError("no volume plugin matched");
  const directory = join(podDirectory(root, context.pod.metadata.uid ?? ""), "volumes", kind.folder, volume.name);
  return await kind.setUp(volume, directory, context);
}

function usedVolumes(pod: Pod): Set<string> {
  const { initContainers = [], containers = [], ephemeralContainers = [] } = pod.spec ?? { containers: [] };
  const mounts = [...initContainers, ...containers, ...ephemeralContainers].flatMap((c) => c.volumeMounts ?? []);
  return new Set(mounts.map((m) => m.name));
}

/** Unmounts and removes everything of a pod's folder. Never descends into what is still mounted. Idempotent. */
export async function removePodDirectory(root: string, uid: string): Promise<void> {
  const directory = podDirectory(root, uid);
  await unmountBelow(directory);
  const left = await mountsBelow(directory);
  if (left.length > 0) throw new Error(`still mounted: ${left.join(", ")}`);
  await rm(directory, { recursive: true, force: true });
}

/** UIDs that have a folder. */
export async function podDirectories(root: string): Promise<string[]> {
  return await readdir(join(root, "pods")).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
}

/** Removes a folder of logs if it is empty. */
export async function removeIfEmpty(directory: string): Promise<void> {
  await rmdir(directory).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOTEMPTY" && error.code !== "ENOENT") throw error;
  });
}
