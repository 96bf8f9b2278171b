/**
 * subPath mounts. A pod may change its volume while we look at it, so the path is walked one open folder at a time
 * without following links, what is missing is made in the open folder, and what is mounted is the open file itself, not
 * its name.
 * Source: kubernetes.io/blog/2018/04/04/fixing-subpath-volume-vulnerability
 */
import { constants } from "node:fs";
import { chmod, type FileHandle, mkdir, open, realpath, stat, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { bindMount, isMountPoint, MountError, unmountBelow } from "../adapters/mounts.ts";
import { ContainerConfigError } from "../core/config-error.ts";

/** Not among Node's constants: a handle on the path that needs no right to read it. */
const O_PATH = 0o10000000;
const WALK = O_PATH | constants.O_NOFOLLOW;

/** The path leads out of its volume, or can't be walked. What stands in the way is for the log, not for the pod's owner. */
export class SubPathError extends Error {
  override readonly name = "SubPathError";
}

/** Throws ContainerConfigError for what no volume could allow. */
export function checkSubPath(subPath: string): void {
  if (subPath.startsWith("/")) {
    throw new ContainerConfigError(`error SubPath \`${subPath}\` must not be an absolute path`);
  }
  if (subPath.split("/").includes("..")) {
    throw new ContainerConfigError(`unable to provision SubPath \`${subPath}\`: must not contain '..'`);
  }
}

const procPath = (handle: FileHandle, name = "") => `/proc/self/fd/${handle.fd}${name === "" ? "" : `/${name}`}`;

/**
 * Mounts `subPath` of a volume at `target` (made as a file or a folder, whichever it is) and returns `target`. A missing
 * sub-path becomes a folder. What is mounted there already stays if it is the same file still. Throws SubPathError.
 */
export async function mountSubPath(volumePath: string, subPath: string, target: string): Promise<string> {
  checkSubPath(subPath);
  const handle = await openSubPath(volumePath, subPath);
  try {
    const wanted = await handle.stat();
    if (await isMountPoint(target)) {
      const there = await stat(target);
      if (there.dev === wanted.dev && there.ino === wanted.ino) return target;
      // A new version of the file: a ConfigMap's, for a container that starts again.
      await unmountBelow(target);
    }
    await mkdir(wanted.isDirectory() ? target : dirname(target), { recursive: true, mode: 0o750 });
    if (!wanted.isDirectory()) await writeFile(target, "", { flag: "a", mode: 0o640 });
    await bindMount(`/proc/${process.pid}/fd/${handle.fd}`, target).catch((error: unknown) => {
      // What was opened may be removed by now.
      if (error instanceof MountError) throw new SubPathError(`${subPath}: ${error.message}`, { cause: error });
      throw error;
    });
    return target;
  } finally {
    await handle.close();
  }
}

/** Opens the sub-path, making what is missing. The caller closes the handle. */
async function openSubPath(volumePath: string, subPath: string): Promise<FileHandle> {
  const root = await realpath(volumePath);
  const parts = subPath.split("/").filter((part) => part !== "" && part !== ".");
  // Volumes made of links (..data) are resolved first; the walk then refuses any link put there since.
  const { inside, missing } = await resolveInside(root, parts);
  let current = await open(root, WALK);
  try {
    const { mode } = await current.stat();
    for (const part of inside) current = await step(current, part);
    for (const part of missing) current = await makeStep(current, part, mode & 0o7777);
    return current;
  } catch (error) {
    await current.close();
    throw error instanceof SubPathError ? error : new SubPathError(`${subPath} in ${root}: ${error}`, { cause: error });
  }
}

/** Where the part of the path that exists leads to, below the root, and the parts that do not exist. */
async function resolveInside(
  root: string,
  parts: readonly string[],
): Promise<{ inside: readonly string[]; missing: readonly string[] }> {
  for (let count = parts.length; ; count--) {
    try {
      const resolved = await realpath(join(root, ...parts.slice(0, count)));
      const inside = relative(root, resolved)
        .split("/")
        .filter((part) => part !== "");
      if (inside[0] === "..") throw new SubPathError(`${parts.join("/")} leads out of ${root}, to ${resolved}`);
      return { inside, missing: parts.slice(count) };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT" && count > 0) continue;
      throw error instanceof SubPathError ? error : new SubPathError(`${parts.join("/")}: ${error}`, { cause: error });
    }
  }
}

/** Opens an entry of an open folder, which is closed then. With O_PATH and O_NOFOLLOW a link opens as the link itself. */
async function step(folder: FileHandle, part: string): Promise<FileHandle> {
  const next = await open(procPath(folder, part), WALK);
  if ((await next.stat()).isSymbolicLink()) {
    await next.close();
    throw new SubPathError(`${part} became a link while it was looked at`);
  }
  await folder.close();
  return next;
}

async function makeStep(folder: FileHandle, part: string, mode: number): Promise<FileHandle> {
  let isNew = true;
  await mkdir(procPath(folder, part)).catch((error: NodeJS.ErrnoException) => {
    // Another container of the pod was faster, or there is a link to nowhere: the step tells.
    if (error.code !== "EEXIST") throw error;
    isNew = false;
  });
  const next = await step(folder, part);
  // By the open folder: its name may be another file's by now. The umask took bits away.
  if (isNew) {
    await chmod(procPath(next), mode).catch(async (error: unknown) => {
      await next.close();
      throw error;
    });
  }
  return next;
}
