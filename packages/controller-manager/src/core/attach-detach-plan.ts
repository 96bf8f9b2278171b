/**
 * Which CSI volumes are to be attached to a node, and which detached. Pure.
 *
 *   pod on the node uses a volume -> VolumeAttachment -> the CSI attacher sets status.attached -> node.status.volumesAttached
 *   no pod uses it -> (kubelet has unmounted it: not in volumesInUse) -> out of volumesAttached -> VolumeAttachment deleted
 *
 * Source: kubernetes/pkg/controller/volume/attachdetach, kubernetes/pkg/volume/csi/csi_attacher.go
 */
import type { AttachedVolume, Node, PersistentVolume, Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { CSIDriver, VolumeAttachment } from "@knarr/api/generated/types/storage-v1.ts";
import { isPodTerminal } from "./pod-state.ts";

const MANAGED_ANNOTATION = "volumes.kubernetes.io/controller-managed-attach-detach";
const KEEP_ANNOTATION = "volumes.kubernetes.io/keep-terminated-pod-volumes";
const OUT_OF_SERVICE = "node.kubernetes.io/out-of-service";
const MANY_NODES = new Set(["ReadWriteMany", "ReadOnlyMany"]);

export interface AttachView {
  readonly nodeName: string;
  /** Undefined when it is gone. */
  readonly node: Node | undefined;
  /** Pods bound to the node. */
  readonly pods: readonly Pod[];
  /** The volumes that a pod uses through claims bound to them. */
  readonly volumesOf: (pod: Pod) => readonly PersistentVolume[];
  readonly driver: (name: string) => CSIDriver | undefined;
  /** All attachments to the node. */
  readonly attachments: readonly VolumeAttachment[];
  /** Attachments of a volume to other nodes. */
  readonly elsewhere: (volume: PersistentVolume) => readonly VolumeAttachment[];
  /** Pods on other nodes that use the volume. */
  readonly usersElsewhere: (volume: PersistentVolume) => readonly Pod[];
  readonly volume: (name: string) => PersistentVolume | undefined;
  /** Whether a volume that is still mounted is detached nevertheless; asked for volumes in use that nobody wants. */
  readonly isOverdue: (attachment: VolumeAttachment) => boolean;
}

export interface WantedAttachment {
  readonly volume: PersistentVolume;
  readonly pods: readonly Pod[];
}

export interface AttachPlan {
  readonly attach: readonly WantedAttachment[];
  readonly detach: readonly VolumeAttachment[];
  /** Wanted here, but attached exclusively somewhere else. */
  readonly blocked: readonly (WantedAttachment & { readonly message: string })[];
  /** What the node's status should list; undefined when it does, or when there is no node. */
  readonly volumesAttached: readonly AttachedVolume[] | undefined;
  /** Attachments that wait for the kubelet to unmount. */
  readonly mounted: readonly VolumeAttachment[];
}

/** "kubernetes.io/csi/DRIVER^HANDLE", the name under which the node's status lists a volume. */
export function uniqueVolumeName(volume: PersistentVolume): string {
  return `kubernetes.io/csi/${volume.spec?.csi?.driver}^${volume.spec?.csi?.volumeHandle}`;
}

export function planAttachments(view: AttachView): AttachPlan {
  const { node } = view;
  const wanted = wantedVolumes(view);
  const attach: WantedAttachment[] = [];
  const blocked: (WantedAttachment & { message: string })[] = [];
  for (const [name, want] of wanted) {
    if (view.attachments.some((attachment) => volumeNameOf(attachment) === name)) continue;
    const message = whyBlocked(view, want.volume);
    if (message === undefined) attach.push(want);
    else blocked.push({ ...want, message });
  }
  const detach: VolumeAttachment[] = [];
  const mounted: VolumeAttachment[] = [];
  for (const attachment of view.attachments) {
    if (attachment.metadata.deletionTimestamp !== undefined || wanted.has(volumeNameOf(attachment))) continue;
    if (isMounted(view, attachment) && !view.isOverdue(attachment)) mounted.push(attachment);
    else detach.push(attachment);
  }
  const listed = view.attachments
    .filter((attachment) => attachment.status?.attached === true && attachment.metadata.deletionTimestamp === undefined)
    .filter((attachment) => !detach.includes(attachment))
    .flatMap((attachment) => {
      const volume = view.volume(volumeNameOf(attachment));
      return volume?.spec?.csi === undefined ? [] : [{ name: uniqueVolumeName(volume), devicePath: "" }];
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  const now = (node?.status?.volumesAttached ?? []).map(({ name }) => name).sort();
  const same = listed.map(({ name }) => name).join() === now.join();
  return { attach, detach, blocked, mounted, volumesAttached: node === undefined || same ? undefined : listed };
}

/** By the volume's name; nothing on a node that is gone or whose kubelet attaches by itself. */
function wantedVolumes(view: AttachView): Map<string, WantedAttachment> {
  const wanted = new Map<string, { volume: PersistentVolume; pods: Pod[] }>();
  const { node } = view;
  if (node === undefined) return wanted;
  const keep = node.metadata.annotations?.[KEEP_ANNOTATION] === "true";
  for (const pod of view.pods) {
    if (isPodTerminal(pod) && !keep) continue;
    for (const volume of view.volumesOf(pod)) {
      const driver = volume.spec?.csi?.driver;
      if (driver === undefined || view.driver(driver)?.spec?.attachRequired === false) continue;
      const name = volume.metadata.name ?? "";
      const attached = view.attachments.some((attachment) => volumeNameOf(attachment) === name);
      // What is attached already stays; anything new needs a kubelet that leaves attaching to us.
      if (!attached && node.metadata.annotations?.[MANAGED_ANNOTATION] !== "true") continue;
      const want = wanted.get(name) ?? { volume, pods: [] };
      want.pods.push(pod);
      wanted.set(name, want);
    }
  }
  return wanted;
}

function isMounted(view: AttachView, attachment: VolumeAttachment): boolean {
  const { node } = view;
  if (node === undefined || isOutOfService(node)) return false;
  const volume = view.volume(volumeNameOf(attachment));
  if (volume?.spec?.csi === undefined) return false;
  return node.status?.volumesInUse?.includes(uniqueVolumeName(volume)) === true;
}

/** An administrator says that the machine is off for good. Source: KEP-2268 */
export function isOutOfService(node: Node): boolean {
  return node.spec?.taints?.some(({ key }) => key === OUT_OF_SERVICE) === true;
}

export function isNodeHealthy(node: Node): boolean {
  return node.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") === true;
}

function whyBlocked(view: AttachView, volume: PersistentVolume): string | undefined {
  if (volume.spec?.accessModes?.some((mode) => MANY_NODES.has(mode)) !== false) return undefined;
  if (view.elsewhere(volume).length === 0) return undefined;
  const users = view.usersElsewhere(volume);
  const subject = `Multi-Attach error for volume "${volume.metadata.name}"`;
  if (users.length === 0) {
    return `${subject} Volume is already exclusively attached to one node and can't be attached to another`;
  }
  return `${subject} Volume is already used by pod(s) ${users.map(({ metadata }) => metadata.name).join(", ")}`;
}

export function volumeNameOf(attachment: VolumeAttachment): string {
  return attachment.spec.source.persistentVolumeName ?? "";
}
