/** NodeVolumeLimits: how many volumes of a CSI driver a node can attach, as its CSINode says. Source: plugins/nodevolumelimits/csi.go */
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { claimClass } from "@knarr/scheduling/volumes/claim-matching.ts";
import { type Plugin, skip, unresolvable, unschedulable } from "../core/framework.ts";
import type { Listers } from "../core/listers.ts";
import { claimNameOf, podInfoOf } from "../core/pod-info.ts";
import type { PluginFactory } from "./plugin-handle.ts";

const name = "NodeVolumeLimits";
const exceeded = unschedulable(name, "node(s) exceed max volume count");

export const nodeVolumeLimits: PluginFactory = (_args, { listers }): Plugin => ({
  name,
  events: [
    "CSINode/Add",
    "CSINode/Update",
    "AssignedPod/Delete",
    "PersistentVolumeClaim/Add",
    "PersistentVolumeClaim/Update",
    "PersistentVolume/Add",
    "VolumeAttachment/Delete",
    "Node/Add",
  ],
  preFilter(_state, { pod }) {
    const mayAttach = (pod.spec?.volumes ?? []).some(
      (volume) => volume.csi !== undefined || claimNameOf(pod, volume) !== undefined,
    );
    return mayAttach ? undefined : { status: skip(name) };
  },
  filter(_state, { pod }, node) {
    const csiNode = listers.csiNodes.get("", node.name);
    if (csiNode === undefined) return undefined;
    const wanted = new Map<string, string>();
    const missing = addVolumes(pod, listers, wanted);
    if (missing !== undefined) return unresolvable(name, missing);
    if (wanted.size === 0) return undefined;
    const attached = new Map<string, string>();
    for (const other of node.pods.values()) addVolumes(other.pod, listers, attached);
    for (const attachment of listers.volumeAttachments.list()) {
      if (attachment.spec.nodeName !== node.name) continue;
      const volume = listers.persistentVolumes.get("", attachment.spec.source.persistentVolumeName ?? "");
      const { csi } = volume?.spec ?? {};
      if (csi !== undefined) attached.set(`${csi.driver}/${csi.volumeHandle}`, csi.driver);
    }
    const used = countByDriver(attached);
    for (const id of attached.keys()) wanted.delete(id);
    for (const [driver, more] of countByDriver(wanted)) {
      const limit = csiNode.spec.drivers.find((d) => d.name === driver)?.allocatable?.count;
      if (limit !== undefined && (used.get(driver) ?? 0) + more > limit) return exceeded;
    }
    return undefined;
  },
  worthRetry(pod, event) {
    if (event.resource === "AssignedPod") {
      return (
        podInfoOf(event.pod).claims.length > 0 || (event.pod.spec?.volumes ?? []).some(({ csi }) => csi !== undefined)
      );
    }
    if (event.resource === "PersistentVolumeClaim") {
      return event.object.metadata.namespace === pod.namespace && pod.claims.includes(event.object.metadata.name ?? "");
    }
    return true;
  },
});

/** Volume id to its driver, of the pod's volumes that a CSI driver attaches; or the claim that does not exist. */
function addVolumes(pod: Pod, listers: Listers, into: Map<string, string>): string | undefined {
  const namespace = pod.metadata.namespace ?? "";
  for (const volume of pod.spec?.volumes ?? []) {
    const claimName = claimNameOf(pod, volume);
    if (claimName === undefined) continue;
    const claim = listers.persistentVolumeClaims.get(namespace, claimName);
    if (claim === undefined) return `persistentvolumeclaim "${claimName}" not found`;
    const bound = listers.persistentVolumes.get("", claim.spec?.volumeName ?? "");
    const { csi } = bound?.spec ?? {};
    if (csi !== undefined) {
      into.set(`${csi.driver}/${csi.volumeHandle}`, csi.driver);
      continue;
    }
    if (bound !== undefined) continue;
    // Not made yet: it will count for the driver of its class.
    const driver = listers.storageClasses.get("", claimClass(claim))?.provisioner;
    if (driver !== undefined) into.set(`${driver}/${namespace}/${claimName}`, driver);
  }
  return undefined;
}

function countByDriver(volumes: ReadonlyMap<string, string>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const driver of volumes.values()) counts.set(driver, (counts.get(driver) ?? 0) + 1);
  return counts;
}
