/** fsGroup: the group that owns a pod's volumes. Source: kubernetes.io/docs/tasks/configure-pod-container/security-context */
import { chmod, lchown, lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";

export function fsGroupOf(pod: Pod): number | undefined {
  return pod.spec?.securityContext?.fsGroup;
}

const SETGID = 0o2000;
/** What the group gets. Source: kubernetes/pkg/volume/volume_linux.go: read-only kinds are for reading */
const FILE_BITS = { read: 0o440, write: 0o660 } as const;
const FOLDER_BITS = SETGID | 0o110;

/**
 * Gives a volume and all in it to the pod's fsGroup, folders with setgid so that new files are the group's too. With
 * fsGroupChangePolicy OnRootMismatch only when the root folder is not so already.
 */
export async function applyFsGroup(directory: string, pod: Pod, access: "read" | "write" = "write"): Promise<void> {
  const gid = fsGroupOf(pod);
  if (gid === undefined) return;
  const bits = FILE_BITS[access];
  const root = await lstat(directory);
  const right = root.gid === gid && (root.mode & (bits | FOLDER_BITS)) === (bits | FOLDER_BITS);
  if (right && pod.spec?.securityContext?.fsGroupChangePolicy === "OnRootMismatch") return;
  await giveTree(directory, gid, bits);
}

async function giveTree(path: string, gid: number, bits: number): Promise<void> {
  const stat = await lstat(path);
  if (stat.isDirectory()) {
    for (const name of await readdir(path)) await giveTree(join(path, name), gid, bits);
  }
  if (stat.gid !== gid) await lchown(path, stat.uid, gid);
  if (stat.isSymbolicLink()) return;
  const mode = (stat.mode & 0o7777) | bits | (stat.isDirectory() ? FOLDER_BITS : 0);
  // A change of owner may have taken bits away, so the mode is set then even if it was right.
  if (mode !== (stat.mode & 0o7777) || stat.gid !== gid) await chmod(path, mode);
}
