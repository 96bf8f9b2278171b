/** emptyDir volumes: an empty folder that lives as long as the pod, on disk or in memory. */
import { access, chmod, mkdir, rename } from "node:fs/promises";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { quantityValue } from "@knarr/apimachinery/quantity.ts";
import { applyFsGroup } from "./fs-group.ts";
import { ensureTmpfs } from "./tmpfs.ts";
import { VolumeError, type VolumeKind } from "./volume.ts";

export const emptyDirVolume: VolumeKind = {
  folder: "kubernetes.io~empty-dir",
  ownsData: true,
  matches: (volume) => volume.emptyDir !== undefined,
  async setUp(volume, directory, { pod }) {
    const { medium = "", sizeLimit } = volume.emptyDir ?? {};
    if (medium === "Memory") {
      await ensureTmpfs(directory, pod, sizeLimit === undefined ? undefined : quantityValue(String(sizeLimit)));
    } else if (medium === "") {
      await ensureFolder(directory, pod);
    } else {
      throw new VolumeError(`unsupported emptyDir medium ${JSON.stringify(medium)}`);
    }
    return { path: directory, readOnly: false };
  },
};

/** Made beside its place and moved there when it is right: what pods change of it afterwards is theirs. */
async function ensureFolder(directory: string, pod: Pod): Promise<void> {
  const there = await access(directory).then(
    () => true,
    () => false,
  );
  if (there) return;
  const fresh = `${directory}.new`;
  await mkdir(fresh, { recursive: true });
  await chmod(fresh, 0o777);
  await applyFsGroup(fresh, pod);
  await rename(fresh, directory);
}
