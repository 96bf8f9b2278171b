/** A node's folder, cgroup and files: made by `up`, undone by `down`. */
import { access, chmod, mkdir, readFile, rm, rmdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { NodeRuntime } from "./cluster-config.ts";
import { renderContainerdConfig, renderRuncWrapper } from "./containerd-config.ts";
import { renderDockerConfig } from "./docker-config.ts";
import type { NodePaths } from "./paths.ts";
import { runCommand, tryCommand } from "./run-command.ts";
import type { Tools } from "./tools.ts";

const CAP_SYS_RESOURCE = 24n;
const CGROUP_ROOT = "/sys/fs/cgroup";

/** Whether this process may not raise its limits: then containers can't get CAP_SYS_RESOURCE either. */
export async function lacksSysResource(): Promise<boolean> {
  const match = /^CapEff:\s*([0-9a-f]+)$/m.exec(await readFile("/proc/self/status", "utf8"));
  return ((BigInt(`0x${match?.[1] ?? "0"}`) >> CAP_SYS_RESOURCE) & 1n) === 0n;
}

export interface NodeFilesOptions {
  readonly paths: NodePaths;
  readonly tools: Tools;
  readonly runtime: NodeRuntime;
  readonly sandboxImage: string;
  readonly resolvers: readonly string[];
  /** "/knarr/node-1" */
  readonly cgroup: string;
}

export async function applyNodeFiles({
  paths,
  tools,
  runtime,
  sandboxImage,
  resolvers,
  cgroup,
}: NodeFilesOptions): Promise<void> {
  for (const folder of [paths.cniConfDir, paths.ipamDir, paths.kubeletRoot, paths.podLogs, paths.manifests]) {
    await mkdir(folder, { recursive: true });
  }
  await makeShared(paths.dir);
  const restricted = await lacksSysResource();
  if (runtime === "docker") {
    await mkdir(dirname(paths.dockerConfig), { recursive: true });
    await writeFile(paths.dockerConfig, renderDockerConfig({ paths, restricted }));
  } else {
    const config = renderContainerdConfig({ paths, cniBinDir: tools.cniBinDir, sandboxImage, restricted });
    await writeFile(paths.containerdConfig, config);
  }
  if (restricted) {
    await writeFile(paths.runcWrapper, renderRuncWrapper(tools.runc));
    await chmod(paths.runcWrapper, 0o755);
  }
  await writeFile(paths.resolvConf, resolvers.map((address) => `nameserver ${address}\n`).join(""));
  await makeCgroup(cgroup);
}

/** A folder bound on itself, so that mounts below it propagate between the kubelet and the containers. */
async function makeShared(dir: string): Promise<void> {
  if ((await mountsBelow(dir)).includes(dir)) return;
  await runCommand(["mount", "--bind", dir, dir]);
  await runCommand(["mount", "--make-rshared", dir]);
}

/** Mount points at or below a folder, in the order they were made. */
export async function mountsBelow(dir: string): Promise<string[]> {
  const text = await readFile("/proc/self/mountinfo", "utf8");
  return text
    .split("\n")
    .map((line) => (line.split(" ")[4] ?? "").replaceAll("\\040", " "))
    .filter((path) => path === dir || path.startsWith(`${dir}/`));
}

/** Unmounts everything at and below a folder, deepest first. */
export async function unmountAll(dir: string): Promise<void> {
  for (const path of (await mountsBelow(dir)).toReversed()) await tryCommand(["umount", "-l", path]);
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch {
    return false;
  }
}

/** Every hierarchy of cgroup v1 (with the v2 one that runc fills beside them where it is mounted), or the one of v2. */
export async function cgroupHierarchies(): Promise<readonly string[]> {
  if (await exists(join(CGROUP_ROOT, "cgroup.controllers"))) return [CGROUP_ROOT];
  const text = await readFile("/proc/self/mountinfo", "utf8");
  return text.split("\n").flatMap((line) => {
    const [left = "", right = ""] = line.split(" - ");
    return /^cgroup2? /.test(right) ? [left.split(" ")[4] ?? ""] : [];
  });
}

async function makeCgroup(cgroup: string): Promise<void> {
  for (const hierarchy of await cgroupHierarchies()) {
    let path = hierarchy;
    for (const part of cgroup.split("/").filter((p) => p !== "")) {
      const parent = path;
      path = join(path, part);
      await mkdir(path, { recursive: true });
      await inheritCpuset(parent, path);
      await delegateControllers(parent);
    }
  }
}

/** On v1 a new cpuset is empty and takes no process until it is filled. */
async function inheritCpuset(parent: string, path: string): Promise<void> {
  for (const file of ["cpuset.cpus", "cpuset.mems"]) {
    if (!(await exists(join(parent, file))) || (await exists(join(parent, "cgroup.controllers")))) continue;
    if ((await readFile(join(path, file), "utf8")).trim() !== "") continue;
    await writeFile(join(path, file), await readFile(join(parent, file), "utf8"));
  }
}

/** On v2 children have the controllers that their parent hands down. */
async function delegateControllers(parent: string): Promise<void> {
  if (!(await exists(join(parent, "cgroup.subtree_control")))) return;
  const available = (await readFile(join(parent, "cgroup.controllers"), "utf8")).trim().split(" ");
  for (const controller of available.filter((c) => c !== "")) {
    try {
      await writeFile(join(parent, "cgroup.subtree_control"), `+${controller}`);
    } catch {
      // A controller that can't be delegated here (real-time CPU, say) is one that pods do without.
    }
  }
}

/** Pids in a cgroup and below, over all hierarchies. */
export async function cgroupPids(cgroup: string): Promise<readonly number[]> {
  const pids = new Set<number>();
  for (const hierarchy of await cgroupHierarchies()) {
    for (const folder of await cgroupFolders(join(hierarchy, cgroup))) {
      const text = await readFile(join(folder, "cgroup.procs"), "utf8").catch(() => ""); // vanished meanwhile
      for (const line of text.split("\n")) if (line !== "") pids.add(Number(line));
    }
  }
  return [...pids];
}

async function cgroupFolders(path: string): Promise<string[]> {
  const text = await tryCommand(["find", path, "-depth", "-type", "d"]);
  return text === undefined ? [] : text.split("\n").filter((line) => line !== "");
}

/** Removes a cgroup that holds no process any more, and its empty parent. */
export async function removeCgroup(cgroup: string): Promise<void> {
  for (const hierarchy of await cgroupHierarchies()) {
    const folders = await cgroupFolders(join(hierarchy, cgroup));
    const parent = join(hierarchy, cgroup, "..");
    for (const folder of parent === hierarchy ? folders : [...folders, parent]) {
      await rmdir(folder).catch(() => {}); // not empty (another node's, another cluster's) or gone already
    }
  }
}

/** After everything below it was stopped: mounts, sockets and run-time state, as a reboot would take them. */
export async function removeNodeState(paths: NodePaths): Promise<void> {
  await unmountAll(paths.dir);
  await rm(paths.containerdState, { recursive: true, force: true });
  await rm(paths.containerdSocket, { force: true });
  await rm(paths.dockerExec, { recursive: true, force: true });
  await rm(paths.dockerSocket, { force: true });
}
