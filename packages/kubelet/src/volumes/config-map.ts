/** configMap volumes: a file per key. */
import { chmod, mkdir, stat } from "node:fs/promises";
import { writeAtomically } from "./atomic-writer.ts";
import { applyFsGroup, fsGroupOf } from "./fs-group.ts";
import { configMapPayload } from "./payloads.ts";
import type { VolumeKind } from "./volume.ts";

export const configMapVolume: VolumeKind = {
  folder: "kubernetes.io~configmap",
  ownsData: true,
  matches: (volume) => volume.configMap !== undefined,
  async setUp(volume, directory, { pod, inputs }) {
    const source = volume.configMap ?? {};
    const name = source.name ?? "";
    const { items, optional = false, defaultMode = 0o644 } = source;
    const payload = configMapPayload(name, await inputs.configMap(pod, name), { items, optional, defaultMode });
    await mkdir(directory, { recursive: true });
    // As upstream makes it, whatever the umask: the mount is read-only.
    if (((await stat(directory)).mode & 0o777) !== 0o777) await chmod(directory, 0o777);
    await writeAtomically(directory, new Map(payload), fsGroupOf(pod));
    await applyFsGroup(directory, pod, "read");
    return { path: directory, readOnly: true };
  },
};
