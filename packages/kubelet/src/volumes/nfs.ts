/** nfs volumes: a server's export, mounted by mount.nfs. Source: kubernetes.io/docs/concepts/storage/volumes#nfs */
import { mkdir } from "node:fs/promises";
import type { NFSVolumeSource } from "@knarr/api/generated/types/core-v1.ts";
import { isMountPoint, mountFilesystem } from "../adapters/mounts.ts";
import type { PersistentKind } from "./persistent-kinds.ts";
import type { MountedVolume, VolumeContext, VolumeKind } from "./volume.ts";

const FOLDER = "kubernetes.io~nfs";

export const nfsVolume: VolumeKind = {
  folder: FOLDER,
  ownsData: false,
  matches: (volume) => volume.nfs !== undefined,
  setUp: (volume, directory, context) =>
    mountExport(volume.nfs, { directory, readOnly: false, options: [], signal: context.signal }),
};

export const nfsPersistent: PersistentKind = {
  folder: FOLDER,
  takesMountOptions: true,
  matches: ({ spec }) => spec?.nfs !== undefined,
  setUp: ({ spec }, { directory, readOnly, options, signal }) =>
    mountExport(spec?.nfs, { directory, readOnly, options, signal }),
};

interface ExportMount extends Pick<VolumeContext, "signal"> {
  readonly directory: string;
  readonly readOnly: boolean;
  readonly options: readonly string[];
}

async function mountExport(source: NFSVolumeSource | undefined, mount: ExportMount): Promise<MountedVolume> {
  const { directory, options, signal } = mount;
  const readOnly = mount.readOnly || source?.readOnly === true;
  // The mount table knows; the server, which may be gone, is not asked.
  if (await isMountPoint(directory)) return { path: directory, readOnly };
  await mkdir(directory, { recursive: true, mode: 0o750 });
  const server = source?.server ?? "";
  const host = server.includes(":") && !server.startsWith("[") ? `[${server}]` : server;
  await mountFilesystem(
    {
      type: "nfs",
      source: `${host}:${source?.path ?? ""}`,
      target: directory,
      options: [...(readOnly ? ["ro"] : []), ...options],
    },
    { signal },
  );
  return { path: directory, readOnly };
}
