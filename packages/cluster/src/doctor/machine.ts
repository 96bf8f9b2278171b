/** The machine: privileges, kernel, cgroups, limits, memory, programs. */
import { access, readFile } from "node:fs/promises";
import { join } from "node:path";
import { runCommand, tryCommand } from "../run-command.ts";
import { findTools } from "../tools.ts";
import { type Check, type Finding, failure, ok, warning } from "./check.ts";
import { judgeCapabilities, judgeInotify, judgeMemory } from "./limits.ts";

const INSTALL = "scripts/install-deps (Debian and Ubuntu)";

const readNumber = async (path: string) => Number(await readFile(path, "utf8").catch(() => "0")); // no such limit

const privileges: Check = {
  subject: "privileges",
  async run() {
    if (process.getuid?.() !== 0) {
      const cause = "namespaces, mounts and packet rules need root";
      return [failure("privileges", "not root", { cause, fix: "sudo knarr ..." })];
    }
    const mask = /^CapEff:\s+([0-9a-f]+)$/m.exec(await readFile("/proc/self/status", "utf8"))?.[1] ?? "0";
    return [judgeCapabilities(BigInt(`0x${mask}`))];
  },
};

/** What the kernel must have, where it shows, and the module that brings it. */
const FEATURES: readonly (readonly [what: string, path: string, module: string])[] = [
  ["network namespaces", "/proc/self/ns/net", "CONFIG_NET_NS"],
  ["UTS namespaces", "/proc/self/ns/uts", "CONFIG_UTS_NS"],
  ["PID namespaces", "/proc/self/ns/pid", "CONFIG_PID_NS"],
  ["IPv4 forwarding", "/proc/sys/net/ipv4/ip_forward", "CONFIG_INET"],
  ["seccomp", "/proc/sys/kernel/seccomp/actions_avail", "CONFIG_SECCOMP_FILTER"],
];

const kernel: Check = {
  subject: "kernel",
  async run({ signal }) {
    const missing: string[] = [];
    for (const [what, path, option] of FEATURES) {
      await access(path).catch(() => missing.push(`${what} (${option})`));
    }
    if (!/\boverlay$/m.test(await readFile("/proc/filesystems", "utf8"))) {
      // A module that is there but not loaded yet is fine.
      if ((await tryCommand(["modprobe", "overlay"], { signal }).catch(() => undefined)) === undefined) {
        missing.push("overlayfs (modprobe overlay)");
      }
    }
    const release = (await readFile("/proc/sys/kernel/osrelease", "utf8")).trim();
    if (missing.length === 0) return [ok("kernel", `${release}: namespaces, overlayfs, seccomp`)];
    const cause = "containers can't be started";
    const fix = "load the module named, or boot a distribution's stock kernel";
    return [failure("kernel", `${release} lacks ${missing.join(", ")}`, { cause, fix })];
  },
};

const CONTROLLERS = ["cpu", "memory", "pids"];

const cgroups: Check = {
  subject: "cgroups",
  async run() {
    const subject = "cgroups";
    const unified = await readFile("/sys/fs/cgroup/cgroup.controllers", "utf8").catch(() => undefined); // v1
    const version = unified === undefined ? "v1" : "v2";
    const present =
      unified === undefined
        ? [...(await readFile("/proc/cgroups", "utf8")).matchAll(/^(\w+)\s+\d+\s+\d+\s+1$/gm)].map((m) => m[1] ?? "")
        : unified.trim().split(/\s+/);
    const missing = CONTROLLERS.filter((name) => !present.includes(name));
    if (missing.length > 0) {
      const cause = "limits of pods can't be kept";
      const fix =
        version === "v2"
          ? `echo "${missing.map((name) => `+${name}`).join(" ")}" > /sys/fs/cgroup/cgroup.subtree_control (of the parent), or boot with cgroup_enable=memory`
          : "boot with cgroup_enable=memory swapaccount=1, or with cgroup v2 (systemd.unified_cgroup_hierarchy=1)";
      return [failure(subject, `${version} without ${missing.join(", ")}`, { cause, fix })];
    }
    const writable = await access("/sys/fs/cgroup", 2 /* W_OK */).then(
      () => true,
      () => false,
    );
    if (writable) return [ok(subject, `${version} with ${CONTROLLERS.join(", ")}`)];
    const cause = "pods get no cgroups";
    return [failure(subject, `${version}, read-only`, { cause, fix: "mount -o remount,rw /sys/fs/cgroup" })];
  },
};

const limits: Check = {
  subject: "limits",
  async run() {
    const found = [
      judgeInotify(
        await readNumber("/proc/sys/fs/inotify/max_user_instances"),
        await readNumber("/proc/sys/fs/inotify/max_user_watches"),
      ),
    ];
    const available = /^MemAvailable:\s+(\d+) kB$/m.exec(await readFile("/proc/meminfo", "utf8"))?.[1];
    return [...found, judgeMemory(Number(available ?? 0) * 1024)];
  },
};

const PROGRAMS = ["ip", "iptables", "iptables-restore", "conntrack", "nsenter", "unshare"];

const programs: Check = {
  subject: "programs",
  async run({ dataDir, env, signal }) {
    const subject = "programs";
    const missing: string[] = [];
    for (const program of PROGRAMS) {
      const flag = program === "ip" ? "-V" : "--version";
      await runCommand([program, flag], { signal, timeoutMs: 10_000 }).catch(() => missing.push(program));
    }
    if (missing.length > 0) {
      return [failure(subject, `missing: ${missing.join(", ")}`, { cause: "knarr up needs them", fix: INSTALL })];
    }
    return [ok(subject, PROGRAMS.join(", ")), ...(await runtimeFindings(dataDir, env, signal))];
  },
};

/** etcd, containerd, runc and the CNI plugins. */
async function runtimeFindings(
  dataDir: string,
  env: Readonly<Record<string, string | undefined>>,
  signal: AbortSignal,
): Promise<Finding[]> {
  const subject = "container runtime";
  try {
    const tools = await findTools({ dataDir, env });
    const version = async (program: string) =>
      /\bv?(\d+\.\d+\.\d+\S*)/.exec((await tryCommand([program, "--version"], { signal })) ?? "")?.[1] ?? "?";
    const found = `containerd ${await version(tools.containerd)}, runc ${await version(tools.runc)}, etcd ${await version(tools.etcd)}`;
    const plugins = ["bridge", "host-local", "loopback", "portmap"];
    const missing: string[] = [];
    for (const plugin of plugins) await access(join(tools.cniBinDir, plugin)).catch(() => missing.push(plugin));
    if (missing.length === 0) return [ok(subject, found)];
    const cause = "pods get no network";
    return [warning(subject, `CNI plugins missing: ${missing.join(", ")}`, { cause, fix: INSTALL })];
  } catch (error) {
    const found = error instanceof Error ? error.message : String(error);
    return [failure(subject, found, { cause: "knarr up needs it", fix: INSTALL })];
  }
}

export const machineChecks: readonly Check[] = [privileges, kernel, cgroups, limits, programs];
