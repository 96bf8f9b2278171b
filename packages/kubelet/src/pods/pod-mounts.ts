/**
 * Sets up pods' volumes and tells in events what keeps them from being ready. Owns nothing but the times since when
 * pods wait, so that a long wait can be told; all else is on disk.
 * Source of the wording: kubernetes/pkg/kubelet/volumemanager/volume_manager.go (WaitForAttachAndMount)
 */
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import { setUpVolumes, type VolumeFailure } from "../volumes/pod-volumes.ts";
import type { MountedVolume } from "../volumes/volume.ts";
import type { ApiObjects, NodeFacts } from "./pod-context.ts";
import type { PodEvents } from "./pod-events.ts";

export interface PodMountsOptions {
  readonly rootDir: string;
  readonly objects: ApiObjects;
  readonly events: PodEvents;
  readonly node: () => NodeFacts;
  readonly clock: Clock;
  readonly log: Logger;
}

/** After this long, and each time again, an event lists what is not mounted. Source: podAttachAndMountTimeout */
const PATIENCE_MS = 123_000;

export class PodMounts {
  readonly #options: PodMountsOptions;
  /** Pod -> since when its volumes are not ready, or when that was last told. */
  readonly #waitingSince = new Map<string, number>();

  constructor(options: PodMountsOptions) {
    this.#options = options;
  }

  /** By the volumes' names; undefined when one of them is not ready: containers start with all or not at all. */
  async setUp(
    pod: Pod,
    podIps: readonly string[],
    signal?: AbortSignal,
  ): Promise<ReadonlyMap<string, MountedVolume> | undefined> {
    const { rootDir, objects, node } = this.#options;
    const { hostIps, allocatable } = node();
    const facts = { pod, hostIps, podIps, allocatable };
    const { volumes, failures } = await setUpVolumes({ pod, facts, inputs: objects, rootDir, signal });
    this.#tell(pod, failures);
    return failures.length === 0 ? volumes : undefined;
  }

  forget(uid: string): void {
    this.#waitingSince.delete(uid);
  }

  #tell(pod: Pod, failures: readonly VolumeFailure[]): void {
    const { clock, events, log } = this.#options;
    const uid = pod.metadata.uid ?? "";
    if (failures.length === 0) {
      this.#waitingSince.delete(uid);
      return;
    }
    const warn = (message: string) => events.pod(pod, "Warning", "FailedMount", message);
    for (const { volume, message } of failures)
      log.warn({ pod: pod.metadata.name, volume, message }, "volume not ready");
    for (const { message, unprocessed } of failures) if (!unprocessed) warn(message);
    const unprocessed = failures.filter((f) => f.unprocessed);
    if (unprocessed.length > 0) warn(unmounted(failures, unprocessed.map((f) => f.message).join("; ")));
    const since = this.#waitingSince.get(uid);
    const now = clock.monotonicMs();
    if (since === undefined) this.#waitingSince.set(uid, now);
    else if (now - since >= PATIENCE_MS) {
      this.#waitingSince.set(uid, now);
      if (unprocessed.length === 0) warn(unmounted(failures, "context deadline exceeded"));
    }
  }
}

/** Go's way to print lists: "[a b]". */
function unmounted(failures: readonly VolumeFailure[], why: string): string {
  const names = (list: readonly VolumeFailure[]) => `[${list.map((f) => f.volume).join(" ")}]`;
  const unprocessed = names(failures.filter((f) => f.unprocessed));
  return `Unable to attach or mount volumes: unmounted volumes=${names(failures)}, unattached volumes=[], failed to process volumes=${unprocessed}: ${why}`;
}
