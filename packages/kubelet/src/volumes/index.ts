/** Every kind of volume, tried in this order. */
import { claimVolume } from "./claim-volume.ts";
import { configMapVolume } from "./config-map.ts";
import { csiVolume } from "./csi.ts";
import { downwardApiVolume } from "./downward-api.ts";
import { emptyDirVolume } from "./empty-dir.ts";
import { hostPathVolume } from "./host-path.ts";
import { imageVolume } from "./image.ts";
import { nfsVolume } from "./nfs.ts";
import { projectedVolume } from "./projected.ts";
import { secretVolume } from "./secret.ts";
import type { VolumeKind } from "./volume.ts";

export const VOLUME_KINDS: readonly VolumeKind[] = [
  configMapVolume,
  secretVolume,
  projectedVolume,
  downwardApiVolume,
  emptyDirVolume,
  hostPathVolume,
  claimVolume,
  nfsVolume,
  imageVolume,
  csiVolume,
];
