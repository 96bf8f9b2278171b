/**
 * Limits for which Docker has no field, written into the container's own cgroups once it runs: huge pages, and the files of
 * cgroup v2 that the runtime interface names (`unified`).
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { RuntimeError } from "../runtime-error.ts";
import type { LinuxContainerResources } from "../types.ts";

const MOUNT = "/sys/fs/cgroup";

/**
 * The folder of a process in a controller's hierarchy (v1), or in the one hierarchy (v2) when there is none or no controller
 * is asked for. Pure; undefined if it has neither.
 */
export function cgroupFolder(procCgroup: string, controller?: string): string | undefined {
  let unified: string | undefined;
  for (const line of procCgroup.split("\n")) {
    const match = /^\d+:([^:]*):(.*)$/.exec(line);
    if (match === null) continue;
    const [, controllers = "", path = ""] = match;
    if (controllers === "") unified = join(MOUNT, path);
    else if (controller !== undefined && controllers.split(",").includes(controller))
      return join(MOUNT, controllers, path);
  }
  return unified;
}

/** Whether the memory controller has a hierarchy of its own. Pure. */
export function isCgroupV1(procCgroup: string): boolean {
  return /^\d+:(?:[^:]*,)?memory(?:,[^:]*)?:/m.test(procCgroup);
}

/** File and text of each limit. Pure. Source: kernel documentation, cgroup-v1/hugetlb, cgroup-v2 */
export function plannedLimits(procCgroup: string, resources: LinuxContainerResources): [path: string, text: string][] {
  const isV1 = isCgroupV1(procCgroup);
  const hugetlb = cgroupFolder(procCgroup, "hugetlb");
  const unified = cgroupFolder(procCgroup);
  const pages = (resources.hugepageLimits ?? []).flatMap(({ pageSize, limit }): [string, string][] =>
    hugetlb === undefined
      ? []
      : [[join(hugetlb, `hugetlb.${pageSize}.${isV1 ? "limit_in_bytes" : "max"}`), String(limit)]],
  );
  if (isV1 || unified === undefined) return pages;
  const files = Object.entries(resources.unified ?? {});
  const bad = files.find(([name]) => !/^[a-z0-9_.-]+$/i.test(name) || name.includes(".."));
  if (bad !== undefined) throw new RuntimeError("InvalidArgument", `no cgroup file: ${JSON.stringify(bad[0])}`);
  return [...pages, ...files.map(([name, text]): [string, string] => [join(unified, name), text])];
}

/** `pid` is the container's first process. What ended meanwhile needs no limits. */
export async function applyCgroupLimits(pid: number, resources: LinuxContainerResources): Promise<void> {
  const wanted = (resources.hugepageLimits ?? []).length + Object.keys(resources.unified ?? {}).length;
  if (wanted === 0) return;
  try {
    for (const [path, text] of plannedLimits(await readFile(`/proc/${pid}/cgroup`, "utf8"), resources)) {
      await writeFile(path, text, { flag: "r+" });
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "ENOENT" && code !== "ESRCH" && code !== "ENODEV") throw error;
  }
}
