/**
 * Mounts of this mount namespace through mount(8) and umount(8). Every call is idempotent as far as its name promises,
 * and has a deadline: a server that does not answer holds up its own pod only. Never removes files.
 */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";

/** A mount or unmount that takes longer has failed. Source: upstream's deadline of a pod's mounts, 2m3s, and some less. */
const DEADLINE_MS = 110_000;
const UNMOUNT_DEADLINE_MS = 20_000;

export interface MountOptions {
  readonly signal?: AbortSignal | undefined;
  readonly deadlineMs?: number;
}

/** mount(8) or umount(8) said no: "exit status 32", and what it wrote. */
export class MountError extends Error {
  override readonly name = "MountError";
  readonly status: string;
  readonly output: string;
  constructor(status: string, output: string) {
    super(output === "" ? status : `${status}: ${output}`);
    this.status = status;
    this.output = output;
  }
}

/**
 * Runs a command to its end, or to its deadline: a process stuck in the kernel can't be killed, so it is left behind
 * rather than waited for.
 */
function run(command: string, args: readonly string[], options: MountOptions = {}): Promise<void> {
  const { signal, deadlineMs = DEADLINE_MS } = options;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const deadline = AbortSignal.timeout(deadlineMs);
  const stop = signal === undefined ? deadline : AbortSignal.any([signal, deadline]);
  const child = execFile(command, args, (error, stdout, stderr) => {
    stop.removeEventListener("abort", onStop);
    if (error === null) return resolve();
    const output = `${stdout}${stderr}`.trim();
    const status = typeof error.code === "number" ? `exit status ${error.code}` : error.message;
    reject(new MountError(status, output));
  });
  const onStop = () => {
    child.kill("SIGKILL");
    child.unref();
    reject(deadline.aborted ? new MountError("context deadline exceeded", "") : stop.reason);
  };
  if (stop.aborted) onStop();
  else stop.addEventListener("abort", onStop, { once: true });
  return promise;
}

/** Undoes the octal escapes of /proc/self/mountinfo. */
function unescapePath(path: string): string {
  return path.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/** Mount points at or below a folder, in the order they were made. */
export async function mountsBelow(directory: string): Promise<string[]> {
  const text = await readFile("/proc/self/mountinfo", "utf8");
  return text
    .split("\n")
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

/** Gives a mount new options, among them "ro": a bind takes none when it is made. */
export async function remount(target: string, options: readonly string[]): Promise<void> {
  await run("mount", ["-o", ["remount", "bind", ...options].join(","), target]);
}

/** Mounts a filesystem by its type; a failure is told in upstream's words, with what mount said. */
export async function mountFilesystem(
  { type, source, target, options }: { type: string; source: string; target: string; options: readonly string[] },
  control: MountOptions = {},
): Promise<void> {
  const args = ["-t", type, ...(options.length === 0 ? [] : ["-o", options.join(",")]), source, target];
  try {
    await run("mount", args, control);
  } catch (error) {
    if (!(error instanceof MountError)) throw error;
    const said = `Mounting command: mount\nMounting arguments: ${args.join(" ")}\nOutput: ${error.output}\n`;
    throw new Error(`mount failed: ${error.status}\n${said}`, { cause: error });
  }
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

/** Unmounts what is mounted at or below a folder, newest first; a busy mount, or one that hangs, is detached. */
export async function unmountBelow(directory: string): Promise<void> {
  // A shared mount is listed once per peer and goes with the first of them: each path is looked at on its own.
  for (const path of new Set((await mountsBelow(directory)).toReversed())) {
    while (await isMountPoint(path)) {
      try {
        // By its name and not by what it leads to: a server that is gone is not asked.
        await run("umount", ["--no-canonicalize", path], { deadlineMs: UNMOUNT_DEADLINE_MS });
      } catch (error) {
        // Busy: detached, it goes when its last user does. Unless it went meanwhile.
        if (await isMountPoint(path)) {
          const detach = run("umount", ["--no-canonicalize", "-l", path], { deadlineMs: UNMOUNT_DEADLINE_MS });
          await detach.catch(() => Promise.reject(error));
        }
      }
    }
  }
}
