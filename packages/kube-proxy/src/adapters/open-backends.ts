/** Finds out what this kernel and host offer: the mode, the front end in use, one backend per family that works. */
import { readFile } from "node:fs/promises";
import type { Logger } from "@knarr/daemon/logger.ts";
import type { IpFamily } from "@knarr/netfilter/ip.ts";
import { detectIptablesMode, IptablesTool } from "@knarr/netfilter/iptables-tool.ts";
import { renderNftScript, wholeTable } from "@knarr/netfilter/nft-state.ts";
import { NftTool } from "@knarr/netfilter/nft-tool.ts";
import type { Config } from "../config.ts";
import { staticChains, staticSets, TABLE } from "../core/nft/layout.ts";
import type { PlanOptions } from "../core/plan-service.ts";
import type { Backend, ProxyMode } from "./backend.ts";
import { IptablesBackend } from "./iptables-backend.ts";
import { IpvsBackend } from "./ipvs-backend.ts";
import { requireIpvs } from "./ipvs-support.ts";
import { NftBackend } from "./nft-backend.ts";

/**
 * The mode asked for, or nftables where it works. Rejects when the one asked for does not work.
 * Differs from upstream: its default is iptables, because old kernels are still about; here the kernel is asked.
 */
export async function chooseMode(
  asked: ProxyMode | undefined,
  { signal, log }: { readonly signal: AbortSignal; readonly log: Logger },
): Promise<ProxyMode> {
  if (asked === "iptables" || asked === "ipvs") return asked;
  if (await nftWorks("ipv4", signal)) return "nftables";
  if (asked !== undefined) throw new Error("nftables does not work here: it needs nft 1.0.1, Linux 5.13, and root");
  log.info("nftables does not work here; using iptables");
  return "iptables";
}

/** Tries the table without Services, and a chain that needs what the others don't, in a dry run. */
async function nftWorks(family: IpFamily, signal: AbortSignal): Promise<boolean> {
  const options: PlanOptions = {
    family,
    nodeName: "",
    zone: "",
    nodeIps: [],
    localDetector: { kind: "none" },
    masqueradeAll: false,
    masqueradeMark: 0x4000,
    randomFully: true,
    localhostNodePorts: false,
    nodePortIps: undefined,
    dropInvalid: true,
  };
  const table = {
    family,
    name: `${TABLE}-check`,
    chains: staticChains(options),
    sets: new Map(Object.entries(staticSets)),
    elements: new Map(),
  };
  return await new NftTool(family, table.name).accepts(renderNftScript(table, wholeTable(table)), signal);
}

/** Rejects when not even IPv4 works: without rules there is nothing for this daemon to do. */
export async function openBackends(
  mode: ProxyMode,
  config: Pick<Config, "ipvs">,
  { signal, log }: { readonly signal: AbortSignal; readonly log: Logger },
): Promise<Backend[]> {
  if (mode === "ipvs") await requireIpvs(config.ipvs.scheduler, { signal, log });
  const backends =
    mode === "nftables"
      ? await nftBackends(signal)
      : (await iptablesTools(signal, log)).map((tool) =>
          mode === "ipvs" ? new IpvsBackend(tool, config.ipvs) : new IptablesBackend(tool),
        );
  log.info({ mode, families: backends.map((backend) => backend.family) }, "proxying Services");
  return backends;
}

async function nftBackends(signal: AbortSignal): Promise<Backend[]> {
  const withIpv6 = (await hasIpv6()) && (await nftWorks("ipv6", signal));
  return [new NftBackend("ipv4"), ...(withIpv6 ? [new NftBackend("ipv6")] : [])];
}

async function iptablesTools(signal: AbortSignal, log: Logger): Promise<IptablesTool[]> {
  const mode = await detectIptablesMode(signal);
  const ipv4 = new IptablesTool("ipv4", mode);
  if (!(await ipv4.works(signal))) throw new Error("iptables does not work here: is it installed, and is this root?");
  const tools = [ipv4];
  const ipv6 = new IptablesTool("ipv6", mode);
  if ((await hasIpv6()) && (await ipv6.works(signal))) tools.push(ipv6);
  log.info({ mode }, "using iptables");
  return tools;
}

async function hasIpv6(): Promise<boolean> {
  try {
    return (await readFile("/proc/net/if_inet6", "utf8")).trim() !== "";
  } catch {
    // Whatever keeps the file from being read, a kernel that shows no IPv6 addresses needs no IPv6 rules.
    return false;
  }
}
