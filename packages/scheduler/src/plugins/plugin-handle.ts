/** What plugins may use besides the snapshot. */
import type { Namespace, PersistentVolume, PersistentVolumeClaim, Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { Labels } from "@knarr/apimachinery/label-selector.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Plugin } from "../core/framework.ts";
import type { Listers } from "../core/listers.ts";
import type { Nominations } from "../core/nominations.ts";

/** The writes that plugins make. */
export interface PluginWrites {
  bind(pod: Pod, nodeName: string, signal: AbortSignal): Promise<void>;
  updateVolume(volume: PersistentVolume, signal: AbortSignal): Promise<PersistentVolume>;
  updateClaim(claim: PersistentVolumeClaim, signal: AbortSignal): Promise<PersistentVolumeClaim>;
}

export interface PluginHandle {
  readonly listers: Listers;
  readonly writes: PluginWrites;
  readonly nominations: Nominations;
  readonly clock: Clock;
  readonly random: () => number;
  /** Whether pods are being removed for this pod right now. */
  readonly isPreempting: (podId: string) => boolean;
}

/** `args` are the plugin's arguments with defaults filled in. */
export type PluginFactory = (args: Readonly<Record<string, unknown>>, handle: PluginHandle) => Plugin;

export function namespaceLabels(handle: PluginHandle): (namespace: string) => Labels | undefined {
  return (name) => (handle.listers.namespaces.get("", name) as Namespace | undefined)?.metadata.labels;
}
