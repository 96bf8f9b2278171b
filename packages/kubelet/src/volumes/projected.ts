/** projected volumes: several sources in one folder, among them the ServiceAccount's token. On tmpfs. */
import type { Pod, VolumeProjection } from "@knarr/api/generated/types/core-v1.ts";
import { writeAtomically } from "./atomic-writer.ts";
import { applyFsGroup, fsGroupOf } from "./fs-group.ts";
import { configMapPayload, downwardPayload, type PayloadEntries, secretPayload } from "./payloads.ts";
import { ensureTmpfs } from "./tmpfs.ts";
import { type VolumeContext, VolumeError, type VolumeKind } from "./volume.ts";

export const projectedVolume: VolumeKind = {
  folder: "kubernetes.io~projected",
  ownsData: true,
  matches: (volume) => volume.projected !== undefined,
  async setUp(volume, directory, context) {
    const { sources = [], defaultMode = 0o644 } = volume.projected ?? {};
    const payload: PayloadEntries = [];
    for (const source of sources) payload.push(...(await sourcePayload(source, defaultMode, context)));
    await ensureTmpfs(directory, context.pod);
    await writeAtomically(directory, new Map(payload), fsGroupOf(context.pod));
    await applyFsGroup(directory, context.pod, "read");
    return { path: directory, readOnly: true };
  },
};

async function sourcePayload(
  source: VolumeProjection,
  defaultMode: number,
  { pod, facts, inputs }: VolumeContext,
): Promise<PayloadEntries> {
  if (source.configMap !== undefined) {
    const { name = "", items, optional = false } = source.configMap;
    return configMapPayload(name, await inputs.configMap(pod, name), { items, optional, defaultMode });
  }
  if (source.secret !== undefined) {
    const { name = "", items, optional = false } = source.secret;
    return secretPayload(name, await inputs.secret(pod, name), { items, optional, defaultMode });
  }
  if (source.downwardAPI !== undefined) return downwardPayload(facts, source.downwardAPI.items, defaultMode);
  if (source.serviceAccountToken !== undefined) {
    const { path, audience = "", expirationSeconds = 3600 } = source.serviceAccountToken;
    const token = await inputs.serviceAccountToken(pod, audience, expirationSeconds);
    const uid = commonUser(pod);
    // Source: KEP-2451: readable by the one user that all containers run as, or by fsGroup, else by everyone.
    const mode = uid !== undefined || fsGroupOf(pod) !== undefined ? 0o600 : defaultMode;
    return [[path, { data: Buffer.from(token), mode, uid }]];
  }
  throw new VolumeError("projected volume has a source that this kubelet does not support");
}

/** The user that every container of the pod runs as, if they agree. */
function commonUser(pod: Pod): number | undefined {
  const podUser = pod.spec?.securityContext?.runAsUser;
  const all = [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])];
  const users = new Set(all.map((c) => c.securityContext?.runAsUser ?? podUser));
  return users.size === 1 ? [...users][0] : undefined;
}
