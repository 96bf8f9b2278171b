/** VolumeZone: a volume labelled with a zone or region goes to nodes of that zone or region. Source: plugins/volumezone */
import type { PersistentVolume } from "@knarr/api/generated/types/core-v1.ts";
import { claimClass, isDelayedBinding } from "@knarr/scheduling/volumes/claim-matching.ts";
import { type Plugin, skip, unresolvable } from "../core/framework.ts";
import type { PluginFactory } from "./plugin-handle.ts";
import { sharedClaims } from "./volume-lookup.ts";

const name = "VolumeZone";
const conflict = unresolvable(name, "node(s) had no available volume zone");
const BETA = "failure-domain.beta.kubernetes.io/";
const TOPOLOGY = "topology.kubernetes.io/";
const KEYS = [`${BETA}zone`, `${BETA}region`, `${TOPOLOGY}zone`, `${TOPOLOGY}region`];

interface VolumeTopology {
  readonly key: string;
  readonly values: ReadonlySet<string>;
}

export const volumeZone: PluginFactory = (_args, { listers }): Plugin => ({
  name,
  events: [
    "Node/Add",
    "Node/Update",
    "StorageClass/Add",
    "PersistentVolumeClaim/Add",
    "PersistentVolumeClaim/Update",
    "PersistentVolume/Add",
    "PersistentVolume/Update",
    "TargetPod/Update",
  ],
  preFilter(state, pod) {
    const topologies: VolumeTopology[] = [];
    for (const claimName of sharedClaims(pod.pod)) {
      const claim = listers.persistentVolumeClaims.get(pod.namespace, claimName);
      if (claim === undefined) {
        return { status: unresolvable(name, `persistentvolumeclaim "${claimName}" not found`) };
      }
      const volumeName = claim.spec?.volumeName ?? "";
      if (volumeName === "") {
        const storageClass = listers.storageClasses.get("", claimClass(claim));
        if (isDelayedBinding(storageClass)) continue;
        const reason =
          claimClass(claim) === ""
            ? "PersistentVolumeClaim had no pv name and storageClass name"
            : "PersistentVolume had no name";
        return { status: unresolvable(name, reason) };
      }
      const volume = listers.persistentVolumes.get("", volumeName);
      if (volume === undefined) {
        return { status: unresolvable(name, `persistentvolume "${volumeName}" not found`) };
      }
      topologies.push(...topologiesOf(volume));
    }
    if (topologies.length === 0) return { status: skip(name) };
    state.write(name, topologies);
    return undefined;
  },
  filter(state, _pod, node) {
    // A node without any zone is taken for a cluster of one zone.
    if (!KEYS.some((key) => node.labels[key] !== undefined)) return undefined;
    for (const { key, values } of state.read<VolumeTopology[]>(name)) {
      const value = node.labels[key] ?? node.labels[twinOf(key)];
      if (value === undefined || !values.has(value)) return conflict;
    }
    return undefined;
  },
  worthRetry(pod, event) {
    if (event.resource !== "PersistentVolumeClaim") return true;
    return event.object.metadata.namespace === pod.namespace && pod.claims.includes(event.object.metadata.name ?? "");
  },
});

/** Several zones of one volume are joined by "__". */
function topologiesOf({ metadata }: PersistentVolume): VolumeTopology[] {
  return KEYS.flatMap((key) => {
    const value = metadata.labels?.[key];
    return value === undefined ? [] : [{ key, values: new Set(value.split("__")) }];
  });
}

function twinOf(key: string): string {
  return key.startsWith(BETA) ? TOPOLOGY + key.slice(BETA.length) : BETA + key.slice(TOPOLOGY.length);
}
