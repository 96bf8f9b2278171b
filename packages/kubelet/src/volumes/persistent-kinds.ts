/** How each kind of PersistentVolume is mounted, tried in this order. */
import type { PersistentVolume } from "@knarr/api/generated/types/core-v1.ts";
import { csiPersistent } from "./csi.ts";
import { hostPathPersistent } from "./host-path.ts";
import { localPersistent } from "./local.ts";
import { nfsPersistent } from "./nfs.ts";
import type { MountedVolume, VolumeContext } from "./volume.ts";

export interface PersistentSetup extends VolumeContext {
  /** The volume's folder in the pod's, named after the persistent volume. */
  readonly directory: string;
  /** The claim is used for reading only. */
  readonly readOnly: boolean;
  readonly options: readonly string[];
}

export interface PersistentKind {
  readonly folder: string;
  readonly takesMountOptions: boolean;
  /** Serves volumeMode Block, too: the path is a device then. */
  readonly hasDevices?: boolean;
  matches(volume: PersistentVolume): boolean;
  /** Idempotent, as VolumeKind's. */
  setUp(volume: PersistentVolume, setup: PersistentSetup): Promise<MountedVolume>;
}

export const PERSISTENT_KINDS: readonly PersistentKind[] = [
  localPersistent,
  hostPathPersistent,
  nfsPersistent,
  csiPersistent,
];
