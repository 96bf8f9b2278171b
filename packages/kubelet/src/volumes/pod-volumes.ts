/**
 * The volumes of one pod on disk: <root>/pods/UID/volumes/KIND/NAME. Holds no state but the folders; what is there is
 * found again after a restart.
 */
import { join } from "node:path";
import type { Pod, Volume } from "@knarr/api/generated/types/core-v1.ts";
import { VOLUME_KINDS } from "./index.ts";
import { type MountedVolume, UnprocessedVolumeError, type VolumeContext, VolumeError } from "./volume.ts";

export interface VolumeFailure {
  /** The volume's name in the pod. */
  readonly volume: string;
  /** What to say: of a mount that failed, upstream's whole sentence. */
  readonly message: string;
  /** It is not known yet what to mount. */
  readonly unprocessed: boolean;
}

export interface VolumeSetup {
  /** By the volume's name in the pod. */
  readonly volumes: ReadonlyMap<string, MountedVolume>;
  readonly failures: readonly VolumeFailure[];
}

/** Mounts take processes: this many of a pod at once. */
const PARALLEL = 8;

/** "<root>/pods/UID" */
export function podDirectory(root: string, uid: string): string {
  return join(root, "pods", uid);
}

/** Sets up every volume that a container of the pod mounts; goes on after a failure so that all are reported. */
export async function setUpVolumes(context: Omit<VolumeContext, "volumesDirectory">): Promise<VolumeSetup> {
  const { pod, rootDir, signal } = context;
  const volumesDirectory = join(podDirectory(rootDir, pod.metadata.uid ?? ""), "volumes");
  const used = usedVolumes(pod);
  const waiting = (pod.spec?.volumes ?? []).filter((volume) => used.has(volume.name));
  const done = new Map<string, MountedVolume | VolumeFailure>();
  const work = async (): Promise<void> => {
    for (let volume = waiting.shift(); volume !== undefined; volume = waiting.shift()) {
      const { name } = volume;
      done.set(name, await setUpOne(volume, { ...context, volumesDirectory }).catch((e: unknown) => failure(name, e)));
    }
  };
  await Promise.all(Array.from({ length: Math.min(PARALLEL, waiting.length) }, work));
  signal?.throwIfAborted();
  const volumes = new Map<string, MountedVolume>();
  const failures: VolumeFailure[] = [];
  for (const { name } of pod.spec?.volumes ?? []) {
    const result = done.get(name);
    if (result === undefined) continue;
    if ("message" in result) failures.push(result);
    else volumes.set(name, result);
  }
  return { volumes, failures };
}

async function setUpOne(volume: Volume, context: VolumeContext): Promise<MountedVolume> {
  const kind = VOLUME_KINDS.find((k) => k.matches(volume));
  if (kind === undefined) {
    const message = `failed to get Plugin from volumeSpec for volume "${volume.name}" err=no volume plugin matched`;
    throw new UnprocessedVolumeError(message);
  }
  const mounted = await kind.setUp(volume, join(context.volumesDirectory, kind.folder, volume.name), context);
  return { ...mounted, ownsData: kind.ownsData };
}

/** Whatever stops a volume is told in an event and tried again: the pod waits for it. */
function failure(volume: string, error: unknown): VolumeFailure {
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof UnprocessedVolumeError) return { volume, message, unprocessed: true };
  const { stage, volume: name } = error instanceof VolumeError ? error : new VolumeError(message);
  return { volume, message: `${stage} for volume "${name ?? volume}" : ${message}`, unprocessed: false };
}

function usedVolumes(pod: Pod): Set<string> {
  const { initContainers = [], containers = [], ephemeralContainers = [] } = pod.spec ?? { containers: [] };
  const all = [...initContainers, ...containers, ...ephemeralContainers];
  return new Set([
    ...all.flatMap((c) => (c.volumeMounts ?? []).map((m) => m.name)),
    ...all.flatMap((c) => (c.volumeDevices ?? []).map((d) => d.name)),
    // A volume that a variable is read from need not be mounted.
    ...all.flatMap((c) => c.env ?? []).flatMap((e) => e.valueFrom?.fileKeyRef?.volumeName ?? []),
  ]);
}
