/** Removes what kube-proxy wrote, ours or upstream's, from every front end and family. Foreign rules stay. */
import type { DaemonContext } from "@knarr/daemon/run-daemon.ts";
import { planRemoval } from "@knarr/netfilter/iptables-state.ts";
import { toolsWithRules } from "@knarr/netfilter/iptables-tool.ts";
import { NftTool } from "@knarr/netfilter/nft-tool.ts";
import { CommandError } from "@knarr/netfilter/run-command.ts";
import { chains, isProxyChain } from "../core/chain-names.ts";
import { TABLE } from "../core/nft/layout.ts";
import type { ProxyMode } from "./backend.ts";
import { removeIpvs } from "./ipvs-support.ts";

type Context = Pick<DaemonContext, "signal" | "log">;

export async function cleanUp(context: Context): Promise<void> {
  await removeIptables(context);
  await removeNftables(context);
  await removeIpvs(context);
}

/** What another mode left when the mode was changed. */
export async function removeOtherModes(mode: ProxyMode, context: Context): Promise<void> {
  // The modes iptables and ipvs share chains and rewrite what the other left of them.
  if (mode === "nftables") await removeIptables(context);
  else await removeNftables(context);
  if (mode !== "ipvs") await removeIpvs(context);
}

async function removeIptables({ signal, log }: Context): Promise<void> {
  for (const tool of await toolsWithRules(signal)) {
    const { family, mode } = tool;
    const actual = await tool.read(signal);
    // Where a kubelet keeps its rules, the guard of loopback is the kubelet's too. Source: KEP-3178
    const hasKubelet = actual.get("mangle")?.has("KUBE-IPTABLES-HINT") ?? false;
    const isOwned: typeof isProxyChain = (table, chain) =>
      isProxyChain(table, chain) || (chain === chains.localnetFirewall && !hasKubelet);
    const input = planRemoval({ actual, jumps: [], family, isOwned });
    if (input === "") continue;
    await tool.restore(input, signal);
    log.info({ family, mode }, "removed the rules of kube-proxy");
  }
}

async function removeNftables({ signal, log }: Context): Promise<void> {
  for (const family of ["ipv4", "ipv6"] as const) {
    try {
      if (await new NftTool(family, TABLE).remove(signal)) log.info({ family }, "removed the table of kube-proxy");
    } catch (error) {
      // Where there is no nft there are no rules that it made.
      if (!(error instanceof CommandError && error.reason === "missing")) throw error;
    }
  }
}
