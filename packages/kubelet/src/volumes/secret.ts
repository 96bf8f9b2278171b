/** secret volumes: a file per key, on tmpfs so that secrets never reach a disk. */
import { writeAtomically } from "./atomic-writer.ts";
import { applyFsGroup, fsGroupOf } from "./fs-group.ts";
import { secretPayload } from "./payloads.ts";
import { ensureTmpfs } from "./tmpfs.ts";
import type { VolumeKind } from "./volume.ts";

export const secretVolume: VolumeKind = {
  folder: "kubernetes.io~secret",
  ownsData: true,
  matches: (volume) => volume.secret !== undefined,
  async setUp(volume, directory, { pod, inputs }) {
    const { secretName = "", items, optional = false, defaultMode = 0o644 } = volume.secret ?? {};
    const object = await inputs.secret(pod, secretName);
    const payload = secretPayload(secretName, object, { items, optional, defaultMode });
    await ensureTmpfs(directory, pod);
    await writeAtomically(directory, new Map(payload), fsGroupOf(pod));
    await applyFsGroup(directory, pod, "read");
    return { path: directory, readOnly: true };
  },
};
