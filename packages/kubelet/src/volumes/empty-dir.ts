/** emptyDir volumes: an empty folder that lives as long as the pod, on disk or in memory. */
import { access, chmod, mkdir, rename } from "node:fs/promises";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { quantityValue } from "@knarr/apimachinery/quantity.ts";
import { isMountPoint, mountFilesystem } from "../adapters/mounts.ts";
import { applyFsGroup, fsGroupOf } from "./fs-group.ts";
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
    } else if (medium === "HugePages" || medium.startsWith("HugePages-")) {
      await ensureHugePages(directory, pod, medium);
    } else {
      throw new VolumeError(`unsupported emptyDir medium ${JSON.stringify(medium)}`);
    }
    return { path: directory, readOnly: false };
  },
};

/** Source: kubernetes/pkg/volume/emptydir: one size of page, that of the medium's name or the only one asked for. */
async function ensureHugePages(directory: string, pod: Pod, medium: string): Promise<void> {
  const asked = new Set(
    [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])].flatMap((container) =>
      Object.keys(container.resources?.requests ?? container.resources?.limits ?? {})
        .filter((name) => name.startsWith("hugepages-"))
        .map((name) => name.slice("hugepages-".length)),
    ),
  );
  const size = medium === "HugePages" ? [...asked][0] : medium.slice("HugePages-".length);
  if (medium === "HugePages" && asked.size > 1) {
    throw new VolumeError("medium HugePages can be used only if container requests use only one page size");
  }
  if (size === undefined || !asked.has(size)) {
    throw new VolumeError(`medium ${medium} but no container requests hugepages of that size`);
  }
  await mkdir(directory, { recursive: true });
  if (await isMountPoint(directory)) return;
  const gid = fsGroupOf(pod);
  const options = [`pagesize=${size}`, gid === undefined ? "mode=0777" : `mode=2777,gid=${gid}`];
  await mountFilesystem({ type: "hugetlbfs", source: "nodev", target: directory, options });
}

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
