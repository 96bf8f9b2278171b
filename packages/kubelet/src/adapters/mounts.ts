/**
 * Mounts of this mount namespace through mount(8) and umount(8). Every call is idempotent as far as its name promises.
 * Never removes files.
 */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Undoes the octal escapes of /proc/self/mountinfo. */
function unescapePath(path: string): string {
  return path.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/** Mount points at or below a folder, in the order they were made. */
export async function mountsBelow(directory: string): Promise<string[]> {
  const text = await readFile("/proc/self/mountinfo", "utf8");
  return text
    .split("\n")
    .filter((line) => line.includes(directory))
    .map((line) => unescapePath(line.split(" ")[4] ?? ""))
    .filter((path) => path === directory || path.startsWith(`${directory}/`));
}

export async function isMountPoint(path: string): Promise<boolean> {
  return (await mountsBelow(path)).includes(path);
}

/** `options` as in "size=1048576,mode=0777". */
export async function mountTmpfs(path: string, options: string): Promise<void> {
  await run("mount", ["-t", "tmpfs", ...(options === "" ? [] : ["-o", options]), "tmpfs", path]);
}

/** `source` is used as it is given: "/proc/PID/fd/N" stays the open file, whatever becomes of its name. */
export async function bindMount(source: string, target: string): Promise<void> {
  await run("mount", ["--no-canonicalize", "--bind", source, target]);
}

/** Whether mounts made in a folder reach its peers: the mount that it lies on is shared. */
async function isShared(path: string): Promise<boolean> {
  const lines = (await readFile("/proc/self/mountinfo", "utf8")).split("\n").map((line) => line.split(" "));
  const holds = (point: string) => point === path || path.startsWith(point === "/" ? "/" : `${point}/`);
  const holding = lines.filter((fields) => fields[4] !== undefined && holds(unescapePath(fields[4])));
  const nearest = holding.toSorted((a, b) => (a[4]?.length ?? 0) - (b[4]?.length ?? 0)).at(-1);
  return nearest?.some((field) => field.startsWith("shared:")) === true;
}

/** Makes sure that a folder lies on a shared mount, which mount propagation into and out of containers needs. */
export async function makeShared(path: string): Promise<void> {
  if (await isShared(path)) return;
  if (!(await isMountPoint(path))) await run("mount", ["--bind", path, path]);
  await run("mount", ["--make-rshared", path]);
}

/** Unmounts what is mounted at or below a folder, newest first; a busy mount is detached. */
export async function unmountBelow(directory: string): Promise<void> {
  // A shared mount is listed once per peer and goes with the first of them: each path is looked at on its own.
  for (const path of new Set((await mountsBelow(directory)).toReversed())) {
    while (await isMountPoint(path)) {
      try {
        await run("umount", [path]);
      } catch (error) {
        // Busy: detached, it goes when its last user does. Unless it went meanwhile.
        if (await isMountPoint(path)) await run("umount", ["-l", path]).catch(() => Promise.reject(error));
      }
    }
  }
}
