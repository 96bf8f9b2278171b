/** local volumes: a folder of the node, bound into the pod's. Source: kubernetes.io/docs/concepts/storage/volumes#local */
import { stat } from "node:fs/promises";
import { bindMount, isMountPoint, remount } from "../adapters/mounts.ts";
import { applyFsGroup } from "./fs-group.ts";
import { isMountedElsewhere } from "./mounted-elsewhere.ts";
import type { PersistentKind } from "./persistent-kinds.ts";
import { VolumeError } from "./volume.ts";

const FOLDER = "kubernetes.io~local-volume";
const NEW_MOUNTER = { stage: "MountVolume.NewMounter initialization failed" };

export const localPersistent: PersistentKind = {
  folder: FOLDER,
  takesMountOptions: true,
  hasDevices: true,
  matches: ({ spec }) => spec?.local !== undefined,
  async setUp(volume, { pod, rootDir, directory, readOnly, options }) {
    const path = volume.spec?.local?.path ?? "";
    if (path.split("/").includes("..")) {
      throw new VolumeError(`invalid path: ${path} ${path} can't contain '..'`);
    }
    if (await isMountPoint(directory)) return { path: directory, readOnly };
    const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") throw new VolumeError(`path "${path}" does not exist`, NEW_MOUNTER);
      throw error;
    });
    if (volume.spec?.volumeMode === "Block") {
      if (found.isBlockDevice()) return { path, readOnly };
      throw new VolumeError(`path "${path}" is not a block device`, { stage: "MapVolume.MapDevice failed" });
    }
    if (!found.isDirectory()) {
      const message = `local volume with volumeMode Filesystem: path "${path}" is not a directory`;
      throw new VolumeError(message, NEW_MOUNTER);
    }
    // Source: the first pod's group is the volume's while pods use it.
    const isFirst = !(await isMountedElsewhere(rootDir, { folder: FOLDER, name: volume.metadata.name ?? "", pod }));
    await bindMount(path, directory);
    const flags = [...(readOnly ? ["ro"] : []), ...options];
    if (flags.length > 0) await remount(directory, flags);
    if (isFirst && !readOnly) await applyFsGroup(directory, pod);
    return { path: directory, readOnly };
  },
};
