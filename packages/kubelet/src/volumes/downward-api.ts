/** downwardAPI volumes: the pod's own fields as files. */
import { mkdir } from "node:fs/promises";
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
    await mkdir(directory, { recursive: true, mode: 0o777 });
    await writeAtomically(directory, new Map(downwardPayload(facts, items, defaultMode)), fsGroupOf(pod));
    await applyFsGroup(directory, pod);
    return { path: directory, readOnly: true };
  },
};
