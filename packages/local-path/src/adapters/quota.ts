/**
 * Holds folders to a size by the filesystem's project quotas (ext4, xfs): each folder is a project, whose number its
 * files inherit. Owns the numbers from FIRST_PROJECT on in the filesystem of the storage folder.
 * Source: chattr(1), setquota(8); docs.kernel.org/filesystems/quota
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { RunCommand } from "./run-command.ts";

/** Far from what people and container runtimes count from. */
const FIRST_PROJECT = 0x4b000000;
const FILESYSTEMS = ["ext4", "xfs"];

export interface MountEntry {
  readonly point: string;
  readonly type: string;
  readonly options: readonly string[];
}

const unescapePath = (path: string) =>
  path.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));

/** The mount that holds `path`, of a text like /proc/self/mountinfo: the last of the longest. */
export function holdingMount(mountinfo: string, path: string): MountEntry | undefined {
  let best: MountEntry | undefined;
  for (const line of mountinfo.split("\n")) {
    const [left = "", right = ""] = line.split(" - ");
    const fields = left.split(" ");
    const point = unescapePath(fields[4] ?? "");
    if (point === "" || !(point === path || path.startsWith(point === "/" ? "/" : `${point}/`))) continue;
    if (best !== undefined && point.length < best.point.length) continue;
    const [type = "", , superOptions = ""] = right.split(" ");
    best = { point, type, options: [...(fields[5] ?? "").split(","), ...superOptions.split(",")] };
  }
  return best;
}

/** Why sizes can't be enforced in this filesystem; undefined when they can. */
export function whyNoQuota(mount: MountEntry | undefined): string | undefined {
  if (mount === undefined) return "the filesystem is not known";
  if (!FILESYSTEMS.includes(mount.type)) return `${mount.type} has no project quotas`;
  const has = mount.options.includes("prjquota") || mount.options.includes("pquota");
  return has ? undefined : `the ${mount.type} filesystem is mounted without prjquota`;
}

/** Of lines like "1258291200 --------------P---- /storage/pvc-...": the projects in use. */
export function projectsIn(lsattr: string): number[] {
  return lsattr.split("\n").flatMap((line) => {
    const match = /^\s*(\d+)\s/.exec(line);
    return match === null ? [] : [Number(match[1])];
  });
}

export class ProjectQuota {
  readonly #run: RunCommand;
  readonly #storageDir: string;
  readonly #mountPoint: string;
  /** One number is chosen at a time. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(run: RunCommand, storageDir: string, mountPoint: string) {
    this.#run = run;
    this.#storageDir = storageDir;
    this.#mountPoint = mountPoint;
  }

  /** Makes the empty folder, or one that is a project already, hold at most so much. */
  set(name: string, bytes: number): Promise<void> {
    const result = this.#last.then(() => this.#set(name, bytes));
    this.#last = result.catch(() => undefined);
    return result;
  }

  /** The folder is to be removed: its number is free again. */
  async clear(name: string): Promise<void> {
    const project = await this.#projectOf(name);
    if (project >= FIRST_PROJECT) await this.#limit(project, 0);
  }

  async #set(name: string, bytes: number): Promise<void> {
    let project = await this.#projectOf(name);
    if (project < FIRST_PROJECT) {
      const used = projectsIn(await this.#run("lsattr", ["-p", this.#storageDir]));
      project = Math.max(FIRST_PROJECT, ...used.map((p) => p + 1));
      await this.#run("chattr", ["-p", String(project), "+P", join(this.#storageDir, name)]);
    }
    await this.#limit(project, Math.ceil(bytes / 1024));
  }

  async #projectOf(name: string): Promise<number> {
    return projectsIn(await this.#run("lsattr", ["-p", "-d", join(this.#storageDir, name)]))[0] ?? 0;
  }

  async #limit(project: number, kibibytes: number): Promise<void> {
    await this.#run("setquota", ["-P", String(project), "0", String(kibibytes), "0", "0", this.#mountPoint]);
  }
}

export type QuotaSupport = { readonly quota: ProjectQuota } | { readonly missing: string };

export async function findQuota(run: RunCommand, storageDir: string): Promise<QuotaSupport> {
  const mount = holdingMount(await readFile("/proc/self/mountinfo", "utf8"), storageDir);
  const missing = whyNoQuota(mount);
  if (missing !== undefined || mount === undefined) return { missing: missing ?? "" };
  for (const tool of ["chattr", "lsattr", "setquota"]) {
    if (!(await isInstalled(run, tool))) return { missing: `${tool} is not installed` };
  }
  return { quota: new ProjectQuota(run, storageDir, mount.point) };
}

async function isInstalled(run: RunCommand, tool: string): Promise<boolean> {
  try {
    await run(tool, ["-V"]);
    return true;
  } catch (error) {
    // Some of them answer -V with an error: they are there.
    return ((error as Error).cause as NodeJS.ErrnoException | undefined)?.code !== "ENOENT";
  }
}
