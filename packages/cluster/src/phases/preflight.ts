/** Can this machine hold a cluster? Says what is missing before anything is made. */
import { access } from "node:fs/promises";
import { findConflicts } from "../conflicts.ts";
import { runCommand } from "../run-command.ts";
import type { Phase } from "./phase.ts";

const PROGRAMS: readonly (readonly string[])[] = [
  ["ip", "-V"],
  ["iptables", "--version"],
  ["iptables-restore", "--version"],
  ["conntrack", "--version"],
  ["nsenter", "--version"],
  ["unshare", "--version"],
];
const KERNEL_FILES = [
  ["/proc/self/ns/net", "network namespaces"],
  ["/proc/self/ns/uts", "UTS namespaces"],
  ["/proc/sys/net/ipv4/ip_forward", "IPv4 forwarding"],
] as const;

export const preflight: Phase = {
  name: "preflight",
  async run({ config, paths, signal }) {
    if (process.getuid?.() !== 0) throw new Error("must run as root: namespaces, mounts and packet rules need it");
    const missing: string[] = [];
    for (const command of PROGRAMS) {
      await runCommand(command, { signal, timeoutMs: 10_000 }).catch(() => missing.push(command[0] ?? ""));
    }
    if (missing.length > 0)
      throw new Error(`missing programs: ${missing.join(", ")}; scripts/up installs them on Debian and Ubuntu`);
    for (const [path, what] of KERNEL_FILES) {
      await access(path).catch(() => {
        throw new Error(`this kernel lacks ${what} (${path})`);
      });
    }
    const conflicts = await findConflicts(config, paths);
    if (conflicts.length > 0) {
      throw new Error(
        `${conflicts.join("; ")}: stop what uses it (ss -lptn; another cluster?), or choose another --data-dir for a cluster with ranges and ports of its own`,
      );
    }
  },
};
