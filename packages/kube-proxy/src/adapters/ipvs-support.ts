/** Whether IPVS works here, its settings, and what it leaves behind when another mode takes over. */
import { release } from "node:os";
import type { Logger } from "@knarr/daemon/logger.ts";
import { IpSetTool } from "@knarr/netfilter/ip-set-tool.ts";
import { splitVirtualServerKey } from "@knarr/netfilter/ipvs.ts";
import { IpvsTool } from "@knarr/netfilter/ipvs-tool.ts";
import { CommandError, runCommand } from "@knarr/netfilter/run-command.ts";
import type { Config } from "../config.ts";
import { DUMMY_INTERFACE, isProxySet } from "../core/ipvs/layout.ts";
import { DummyInterface } from "./dummy-interface.ts";
import { ensureSysctl } from "./sysctls.ts";

interface Context {
  readonly signal: AbortSignal;
  readonly log: Logger;
}

/** Rejects with an Error that says what is missing. Source: upstream refuses to start, too, and falls back to nothing. */
export async function requireIpvs(scheduler: string, { signal }: Context): Promise<void> {
  // In a container or a network namespace nobody else may have asked for the module; where it is built in, nothing happens.
  for (const module of ["ip_vs", `ip_vs_${scheduler}`]) await loadModule(module, signal);
  const fail = (why: string) => {
    const others = "use --proxy-mode=nftables or --proxy-mode=iptables instead";
    return new Error(`can't proxy by IPVS here: ${why}; ${others}`);
  };
  const problem = await new IpvsTool().problemWith(scheduler, signal);
  if (problem !== undefined) throw fail(`the kernel must have ip_vs and ip_vs_${scheduler} (${problem})`);
  try {
    await new IpSetTool().read(signal);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    throw fail(error.reason === "missing" ? "the program ipset is not installed" : error.message);
  }
}

async function loadModule(module: string, signal: AbortSignal): Promise<void> {
  try {
    await runCommand("modprobe", ["--quiet", module], { signal });
  } catch (error) {
    // Where there is no modprobe, the attempt to use the module shows whether it is there.
    if (!(error instanceof CommandError)) throw error;
  }
}

/** Source: upstream's ipvs proxier sets the same, and the same timeouts. */
export async function applyIpvsSettings(config: Config, { signal, log }: Context): Promise<void> {
  const { strictArp, tcpTimeoutMs, tcpFinTimeoutMs, udpTimeoutMs } = config.ipvs;
  // Masquerading and the filter see balanced connections only when connection tracking does.
  await ensureSysctl("ipv4/vs/conntrack", 1, log);
  // Up to Linux 5.9, a reused client port waited a second for its connection when reuse was handled.
  if (isKernelBefore(5, 9)) await ensureSysctl("ipv4/vs/conn_reuse_mode", 0, log);
  await ensureSysctl("ipv4/vs/expire_nodest_conn", 1, log);
  await ensureSysctl("ipv4/vs/expire_quiescent_template", 1, log);
  await ensureSysctl("ipv4/ip_forward", 1, log);
  if (strictArp) {
    await ensureSysctl("ipv4/conf/all/arp_ignore", 1, log);
    await ensureSysctl("ipv4/conf/all/arp_announce", 2, log);
  }
  const [tcp, tcpFin, udp] = [tcpTimeoutMs, tcpFinTimeoutMs, udpTimeoutMs].map((ms) => Math.round(ms / 1000));
  if ((tcp ?? 0) + (tcpFin ?? 0) + (udp ?? 0) === 0) return;
  await new IpvsTool().setTimeouts({ tcp: tcp ?? 0, tcpFin: tcpFin ?? 0, udp: udp ?? 0 }, signal);
}

function isKernelBefore(major: number, minor: number): boolean {
  const [ownMajor = 0, ownMinor = 0] = release().split(".").map(Number);
  return ownMajor < major || (ownMajor === major && ownMinor < minor);
}

/**
 * Removes the virtual servers of Services and node ports, the interface and the sets; the rules that match the sets must be
 * gone before. Virtual servers that others made stay.
 */
export async function removeIpvs({ signal, log }: Context): Promise<void> {
  const dummy = new DummyInterface(DUMMY_INTERFACE);
  const sets = await orNothing(() => new IpSetTool().read(signal));
  const own = [...(sets ?? [])].filter(([name]) => isProxySet(name));
  if (await dummy.exists(signal)) {
    const addresses = new Set<string>();
    for (const family of ["ipv4", "ipv6"] as const) {
      for (const address of await dummy.addresses(family, signal)) addresses.add(address);
    }
    const nodePorts = new Set(own.flatMap(([name, { entries }]) => (/-NODE-PORT-/.test(name) ? [...entries] : [])));
    const ipvs = new IpvsTool();
    const servers = await orNothing(() => ipvs.read(signal));
    const lines = [...(servers?.keys() ?? [])].flatMap((key) => {
      const { protocol, hostPort } = splitVirtualServerKey(key);
      const colon = hostPort.lastIndexOf(":");
      const address = hostPort.slice(0, colon).replace(/^\[|\]$/g, "");
      const port = hostPort.slice(colon + 1);
      const isOwn = addresses.has(address) || nodePorts.has(port) || nodePorts.has(`${address},${protocol}:${port}`);
      return isOwn ? [deletionOf(protocol, hostPort)] : [];
    });
    await ipvs.restore(lines, signal);
    await dummy.remove(signal);
    log.info({ virtualServers: lines.length }, "removed the virtual servers of kube-proxy");
  }
  await new IpSetTool().restore(
    own.map(([name]) => `destroy ${name}`),
    signal,
  );
}

function deletionOf(protocol: string, hostPort: string): string {
  return `-D ${{ tcp: "-t", udp: "-u" }[protocol] ?? "--sctp-service"} ${hostPort}`;
}

/** Where the program is missing or the kernel can't, nothing was made with it. */
async function orNothing<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof CommandError) return undefined;
    throw error;
  }
}
