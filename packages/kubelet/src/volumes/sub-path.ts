/**
 * subPath mounts. A pod may change its volume while we look at it, so the path is walked one open folder at a time
 * without following links, and what is mounted is the open file itself, not its name.
 * Source: kubernetes.io/blog/2018/04/04/fixing-subpath-volume-vulnerability
 */
import { constants } from "node:fs";
import { chmod, type FileHandle, mkdir, open, realpath, stat, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { bindMount, isMountPoint } from "../adapters/mounts.ts";
import { ContainerConfigError } from "../core/config-error.ts";

/** Not among Node's constants: a handle on the path that needs no right to read it. */
const O_PATH = 0o10000000;
const WALK = O_PATH | constants.O_NOFOLLOW;

function checkSubPath(subPath: string): void {
  if (subPath.startsWith("/")) throw new ContainerConfigError(`subPath must not be an absolute path: ${subPath}`);
  if (subPath.split("/").includes("..")) throw new ContainerConfigError(`subPath must not contain '..': ${subPath}`);
}

const procPath = (handle: FileHandle, name = "") => `/proc/self/fd/${handle.fd}${name === "" ? "" : `/${name}`}`;

/**
 * Mounts `subPath` of a volume at `target` (made as a file or a folder, whichever it is) and returns `target`. A missing
 * sub-path becomes a folder. Throws ContainerConfigError when it leaves the volume.
 */
export async function mountSubPath(volumePath: string, subPath: string, target: string): Promise<string> {
  checkSubPath(subPath);
  if (await isMountPoint(target)) return target;
  const handle = await openSubPath(volumePath, subPath);
  try {
    const isFolder = (await handle.stat()).isDirectory();
    await mkdir(isFolder ? target : dirname(target), { recursive: true, mode: 0o750 });
    if (!isFolder) await writeFile(target, "", { flag: "a", mode: 0o640 });
    await bindMount(`/proc/${process.pid}/fd/${handle.fd}`, target);
    return target;
  } finally {
    await handle.close();
  }
}

async function openSubPath(volumePath: string, subPath: string): Promise<FileHandle> {
  const root = await realpath(volumePath);
  await makeFolders(root, subPath);
  // Volumes made of links (..data) are resolved first; the walk then refuses any link put there since.
  const resolved = await realpath(join(root, subPath));
  const inside = relative(root, resolved);
  if (inside.split("/")[0] === "..") throw escapes(subPath);
  let current = await open(root, WALK);
  for (const part of inside.split("/").filter((p) => p !== "")) {
    const next = await openNext(current, part, subPath);
    await current.close();
    current = next;
  }
  return current;
}

async function openNext(folder: FileHandle, part: string, subPath: string): Promise<FileHandle> {
  const next = await open(procPath(folder, part), WALK);
  // With O_PATH and O_NOFOLLOW a link opens as the link itself.
  if (!(await next.stat()).isSymbolicLink()) return next;
  await next.close();
  await folder.close();
  throw escapes(subPath);
}

function escapes(subPath: string): ContainerConfigError {
  return new ContainerConfigError(`failed to prepare subPath: ${JSON.stringify(subPath)} is outside of its volume`);
}

/** Makes what is missing of the path, never through a link that leads out. */
async function makeFolders(root: string, subPath: string): Promise<void> {
  const { mode } = await stat(root);
  let path = root;
  for (const part of subPath.split("/").filter((p) => p !== "" && p !== ".")) {
    path = join(path, part);
    const there = await realpath(path).catch(() => undefined);
    if (there !== undefined) {
      if (there !== root && !there.startsWith(`${root}/`)) throw escapes(subPath);
      path = there;
      continue;
    }
    await mkdir(path);
    await chmod(path, mode & 0o7777);
  }
}
