/** Removes what kube-proxy wrote, ours or upstream's, from every front end and family. Foreign rules stay. */
import type { DaemonContext } from "@knarr/daemon/run-daemon.ts";
import { planRemoval } from "@knarr/netfilter/iptables-state.ts";
import { toolsWithRules } from "@knarr/netfilter/iptables-tool.ts";
import { chains, isProxyChain } from "../core/chain-names.ts";

export async function cleanUp({ signal, log }: Pick<DaemonContext, "signal" | "log">): Promise<void> {
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
