/**
 * Runs a test file again inside namespaces of its own (mount, network, process ids), so that everything that it starts -
 * containerd, shims, pods, mounts, bridges - ends with it whatever happens, and none of it touches the machine.
 * Cgroups are the exception: they are removed by `removeCgroups`.
 *
 * Use: `if (await isolatedTest(import.meta)) { test(...); ... }`
 */
import { execFile, spawn } from "node:child_process";
import { readdir, readFile, rmdir } from "node:fs/promises";
import { join } from "node:path";
import test from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { endWithThisProcess } from "./end-with-this-process.ts";

const MARK = "KNARR_ISOLATED_TEST";

/** For each test inside, below what scripts/run-tests.ts gives the whole: the one that hangs is named. */
const TEST_TIMEOUT_MS = 300_000;

/** Inside: brings up loopback and answers true. Outside: declares one test, which runs the file inside, and answers false. */
export async function isolatedTest(meta: { readonly url: string }): Promise<boolean> {
  if (process.env[MARK] !== undefined) {
    const run = promisify(execFile);
    await run("ip", ["link", "set", "lo", "up"]);
    await run("mount", ["--make-rshared", "/"]);
    await run("mount", ["-t", "tmpfs", "tmpfs", "/run"]);
    return true;
  }
  const file = fileURLToPath(meta.url);
  test(`isolated: ${file.split("/").slice(-1)[0]}`, async ({ signal }) => {
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    const namespaces = ["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"];
    const args = [...namespaces, "--", process.execPath, `--test-timeout=${TEST_TIMEOUT_MS}`, file];
    const child = spawn("unshare", args, { stdio: ["ignore", "inherit", "inherit"], env: { ...env, [MARK]: "1" } });
    endWithThisProcess(child);
    // The first process of a pid namespace ignores what it has no handler for, and all others end with it.
    const kill = () => void child.kill("SIGKILL");
    signal.addEventListener("abort", kill);
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once("error", reject);
      child.once("exit", resolve);
    });
    signal.removeEventListener("abort", kill);
    if (code !== 0) throw new Error(`the isolated run of ${file} failed with code ${code}`);
  });
  return false;
}

/** Kills what is left in a cgroup and removes it with its children from every hierarchy; `path` is "/knarr-test-x". */
export async function removeCgroups(path: string): Promise<void> {
  for (const hierarchy of ["", ...(await readdir("/sys/fs/cgroup"))]) {
    await removeCgroupTree(join("/sys/fs/cgroup", hierarchy, path));
  }
}

async function removeCgroupTree(directory: string): Promise<void> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => undefined);
  if (entries === undefined) return; // Not in this hierarchy.
  for (const entry of entries) if (entry.isDirectory()) await removeCgroupTree(join(directory, entry.name));
  for (let attempt = 0; ; attempt++) {
    const pids = await readFile(join(directory, "cgroup.procs"), "utf8");
    for (const pid of pids.split("\n").map(Number)) if (pid > 0) killIfThere(pid);
    try {
      await rmdir(directory);
      return;
    } catch (error) {
      if (attempt === 100) throw error;
      await sleep(20);
    }
  }
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
