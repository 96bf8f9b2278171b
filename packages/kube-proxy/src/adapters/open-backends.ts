/** Finds out what this kernel and host offer: the front end in use, and one backend per address family that works. */
import { readFile } from "node:fs/promises";
import type { Logger } from "@knarr/daemon/logger.ts";
import { detectIptablesMode, IptablesTool } from "@knarr/netfilter/iptables-tool.ts";
import { IptablesBackend } from "./iptables-backend.ts";

/** Rejects when not even IPv4 works: without rules there is nothing for this daemon to do. */
export async function openBackends(signal: AbortSignal, log: Logger): Promise<IptablesBackend[]> {
  const mode = await detectIptablesMode(signal);
  const ipv4 = new IptablesTool("ipv4", mode);
  if (!(await ipv4.works(signal))) throw new Error("iptables does not work here: is it installed, and is this root?");
  const backends = [new IptablesBackend(ipv4)];
  const ipv6 = new IptablesTool("ipv6", mode);
  if ((await hasIpv6()) && (await ipv6.works(signal))) backends.push(new IptablesBackend(ipv6));
  log.info({ mode, families: backends.map((b) => b.tool.family) }, "using iptables");
  return backends;
}

async function hasIpv6(): Promise<boolean> {
  try {
    return (await readFile("/proc/net/if_inet6", "utf8")).trim() !== "";
  } catch {
    // Whatever keeps the file from being read, a kernel that shows no IPv6 addresses needs no IPv6 rules.
    return false;
  }
}
