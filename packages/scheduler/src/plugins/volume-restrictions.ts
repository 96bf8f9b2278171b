/**
 * VolumeRestrictions: disks that only one pod may use at a time, and claims with the access mode ReadWriteOncePod.
 * A ReadWriteOncePod claim in use may be freed by preemption. Source: plugins/volumerestrictions, KEP-2485
 */
import type { Volume } from "@knarr/api/generated/types/core-v1.ts";
import { type CloneableState, type Plugin, skip, unresolvable, unschedulable } from "../core/framework.ts";
import { podInfoOf } from "../core/pod-info.ts";
import type { PluginFactory } from "./plugin-handle.ts";
import { sharedClaims } from "./volume-lookup.ts";

const name = "VolumeRestrictions";
const diskConflict = unschedulable(name, "node(s) had no available disk");
const claimConflict = unschedulable(
  name,
  "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode",
);

class State implements CloneableState {
  readonly disks: readonly Volume[];
  readonly claims: ReadonlySet<string>;
  /** How often the pod's ReadWriteOncePod claims are in use, anywhere. */
  users: number;

  constructor(disks: readonly Volume[], claims: ReadonlySet<string>, users: number) {
    this.disks = disks;
    this.claims = claims;
    this.users = users;
  }
  cloneState(): State {
    return new State(this.disks, this.claims, this.users);
  }
}

export const volumeRestrictions: PluginFactory = (_args, { listers }): Plugin => ({
  name,
  events: [
    "AssignedPod/Delete",
    "Node/Add",
    "PersistentVolumeClaim/Add",
    "PersistentVolumeClaim/Update",
    "TargetPod/Update",
  ],
  preFilter(state, pod, snapshot) {
    const disks = (pod.pod.spec?.volumes ?? []).filter(isExclusiveDisk);
    const claims = new Set<string>();
    for (const claimName of sharedClaims(pod.pod)) {
      const claim = listers.persistentVolumeClaims.get(pod.namespace, claimName);
      if (claim === undefined) {
        return { status: unresolvable(name, `persistentvolumeclaim "${claimName}" not found`) };
      }
      if (claim.spec?.accessModes?.includes("ReadWriteOncePod") === true) claims.add(`${pod.namespace}/${claimName}`);
    }
    if (disks.length === 0 && claims.size === 0) return { status: skip(name) };
    let users = 0;
    if (claims.size > 0) {
      for (const { claimUsers } of snapshot.nodes) for (const claim of claims) users += claimUsers.get(claim) ?? 0;
    }
    state.write(name, new State(disks, claims, users));
    return undefined;
  },
  addPod(state, _pod, other) {
    const known = state.find<State>(name);
    if (known !== undefined)
      known.users += other.claims.filter((c) => known.claims.has(`${other.namespace}/${c}`)).length;
  },
  removePod(state, _pod, other) {
    const known = state.find<State>(name);
    if (known !== undefined)
      known.users -= other.claims.filter((c) => known.claims.has(`${other.namespace}/${c}`)).length;
  },
  filter(state, _pod, node) {
    const { disks, users } = state.read<State>(name);
    if (disks.length > 0) {
      for (const { pod } of node.pods.values()) {
        for (const taken of pod.spec?.volumes ?? []) {
          if (disks.some((disk) => disksConflict(disk, taken))) return diskConflict;
        }
      }
    }
    return users > 0 ? claimConflict : undefined;
  },
  worthRetry(pod, event) {
    if (event.resource === "PersistentVolumeClaim") {
      return event.object.metadata.namespace === pod.namespace && pod.claims.includes(event.object.metadata.name ?? "");
    }
    if (event.resource !== "AssignedPod") return true;
    const other = podInfoOf(event.pod);
    if (other.namespace === pod.namespace && other.claims.some((claim) => pod.claims.includes(claim))) return true;
    const mine = pod.pod.spec?.volumes ?? [];
    return (other.pod.spec?.volumes ?? []).some((taken) => mine.some((disk) => disksConflict(disk, taken)));
  },
});

function isExclusiveDisk({ gcePersistentDisk, awsElasticBlockStore, rbd, iscsi }: Volume): boolean {
  return (gcePersistentDisk ?? awsElasticBlockStore ?? rbd ?? iscsi) !== undefined;
}

/** Disks that can be shared for reading clash only when one of the two writes. */
function disksConflict(a: Volume, b: Volume): boolean {
  if (a.gcePersistentDisk !== undefined && b.gcePersistentDisk !== undefined) {
    const [x, y] = [a.gcePersistentDisk, b.gcePersistentDisk];
    return x.pdName === y.pdName && !(x.readOnly === true && y.readOnly === true);
  }
  if (a.awsElasticBlockStore !== undefined && b.awsElasticBlockStore !== undefined) {
    return a.awsElasticBlockStore.volumeID === b.awsElasticBlockStore.volumeID;
  }
  if (a.iscsi !== undefined && b.iscsi !== undefined) {
    return a.iscsi.iqn === b.iscsi.iqn && !(a.iscsi.readOnly === true && b.iscsi.readOnly === true);
  }
  if (a.rbd !== undefined && b.rbd !== undefined) {
    const [x, y] = [a.rbd, b.rbd];
    const sharesMonitor = x.monitors.some((monitor) => y.monitors.includes(monitor));
    const isSame = sharesMonitor && (x.pool ?? "rbd") === (y.pool ?? "rbd") && x.image === y.image;
    return isSame && !(x.readOnly === true && y.readOnly === true);
  }
  return false;
}
