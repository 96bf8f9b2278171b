/** downwardAPI volumes: the pod's own fields as files. */
import { chmod, mkdir, stat } from "node:fs/promises";
import { writeAtomically } from "./atomic-writer.ts";
import { applyFsGroup, fsGroupOf } from "./fs-group.ts";
import { downwardPayload } from "./payloads.ts";
import type { VolumeKind } from "./volume.ts";

export const downwardApiVolume: VolumeKind = {
  folder: "kubernetes.io~downward-api",
  ownsData: true,
  matches: (volume) => volume.downwardAPI !== undefined,
  async setUp(volume, directory, { pod, facts }) {
    const { items, defaultMode = 0o644 } = volume.downwardAPI ?? {};
    await mkdir(directory, { recursive: true });
    // As upstream makes it, whatever the umask: the mount is read-only.
    if (((await stat(directory)).mode & 0o777) !== 0o777) await chmod(directory, 0o777);
    await writeAtomically(directory, new Map(downwardPayload(facts, items, defaultMode)), fsGroupOf(pod));
    await applyFsGroup(directory, pod, "read");
    return { path: directory, readOnly: true };
  },
};
