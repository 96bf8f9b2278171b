/** Kernel settings without which pods can't be reached; one that can't be written is logged and left. */
import { readFile, writeFile } from "node:fs/promises";
import type { Logger } from "@knarr/daemon/logger.ts";
import type { IpFamily } from "@knarr/netfilter/ip.ts";

const unavailable: ReadonlySet<string> = new Set(["ENOENT", "EACCES", "EPERM", "EROFS"]);

async function ensure(path: string, value: string, log: Logger): Promise<void> {
  try {
    if ((await readFile(path, "utf8")).trim() === value) return;
    await writeFile(path, value);
    log.info({ sysctl: path, value }, "kernel setting changed");
  } catch (error) {
    if (!unavailable.has((error as NodeJS.ErrnoException).code ?? "")) throw error;
    log.warn({ sysctl: path, value, reason: (error as Error).message }, "kernel setting can't be changed");
  }
}

/** Forwarding, and bridged traffic seen by iptables: else answers between pods of one bridge bypass translation. */
export async function applySysctls(families: readonly IpFamily[], log: Logger): Promise<void> {
  if (families.includes("ipv4")) {
    await ensure("/proc/sys/net/ipv4/ip_forward", "1", log);
    await ensure("/proc/sys/net/bridge/bridge-nf-call-iptables", "1", log);
  }
  if (families.includes("ipv6")) {
    await ensure("/proc/sys/net/ipv6/conf/all/forwarding", "1", log);
    await ensure("/proc/sys/net/bridge/bridge-nf-call-ip6tables", "1", log);
  }
}
