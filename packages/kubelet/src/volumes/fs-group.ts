/** fsGroup: the group that owns a pod's volumes. Source: kubernetes.io/docs/tasks/configure-pod-container/security-context */
import { chmod, lchown, lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";

export function fsGroupOf(pod: Pod): number | undefined {
  return pod.spec?.securityContext?.fsGroup;
}

const SETGID = 0o2000;

/**
 * Gives a volume and all in it to the pod's fsGroup, readable and writable by it, folders with setgid so that new files
 * are the group's too. With fsGroupChangePolicy OnRootMismatch only when the root folder is not so already.
 */
export async function applyFsGroup(directory: string, pod: Pod): Promise<void> {
  const gid = fsGroupOf(pod);
  if (gid === undefined) return;
  const root = await lstat(directory);
  const right = root.gid === gid && (root.mode & SETGID) !== 0 && (root.mode & 0o060) === 0o060;
  if (right && pod.spec?.securityContext?.fsGroupChangePolicy === "OnRootMismatch") return;
  await giveTree(directory, gid);
}

async function giveTree(path: string, gid: number): Promise<void> {
  const stat = await lstat(path);
  if (stat.isDirectory()) {
    for (const name of await readdir(path)) await giveTree(join(path, name), gid);
  }
  await lchown(path, stat.uid, gid);
  if (stat.isSymbolicLink()) return;
  // Files that nobody may write (tokens, 0600 or 0400) stay so for the group: it may read them.
  const write = stat.isDirectory() || (stat.mode & 0o060) !== 0 ? 0o060 : 0o040;
  const bits = stat.isDirectory() ? SETGID | 0o070 : write;
  await chmod(path, (stat.mode & 0o7777) | bits);
}
