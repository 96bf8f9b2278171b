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

/** Makes a folder a mount point of its own that shares its mounts, which bidirectional propagation needs. */
export async function makeShared(path: string): Promise<void> {
  if (!(await isMountPoint(path))) await run("mount", ["--bind", path, path]);
  await run("mount", ["--make-rshared", path]);
}

/** Unmounts what is mounted at or below a folder, newest first; a busy mount is detached. */
export async function unmountBelow(directory: string): Promise<void> {
  for (const path of (await mountsBelow(directory)).toReversed()) {
    try {
      await run("umount", [path]);
    } catch {
      // Busy: detached, it goes when its last user does. A failure of this one is the caller's.
      await run("umount", ["-l", path]);
    }
  }
}
