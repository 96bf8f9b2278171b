/** Removes what kube-proxy wrote, ours or upstream's, from every front end and family. Foreign rules stay. */
import type { DaemonContext } from "@knarr/daemon/run-daemon.ts";
import { planRemoval } from "@knarr/netfilter/iptables-state.ts";
import { toolsWithRules } from "@knarr/netfilter/iptables-tool.ts";
import { isProxyChain } from "../core/chain-names.ts";

export async function cleanUp({ signal, log }: Pick<DaemonContext, "signal" | "log">): Promise<void> {
  for (const tool of await toolsWithRules(signal)) {
    const { family, mode } = tool;
    const input = planRemoval({ actual: await tool.read(signal), jumps: [], family, isOwned: isProxyChain });
    if (input === "") continue;
    await tool.restore(input, signal);
    log.info({ family, mode }, "removed the rules of kube-proxy");
  }
}
