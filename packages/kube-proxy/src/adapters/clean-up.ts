/** Removes what kube-proxy wrote, ours or upstream's, from every front end and family. Foreign rules stay. */
import type { DaemonContext } from "@knarr/daemon/run-daemon.ts";
import { planRemoval } from "@knarr/netfilter/iptables-state.ts";
import { IptablesTool } from "@knarr/netfilter/iptables-tool.ts";
import { isProxyChain } from "../core/chain-names.ts";

export async function cleanUp({ signal, log }: Pick<DaemonContext, "signal" | "log">): Promise<void> {
  for (const mode of ["nft", "legacy"] as const) {
    for (const family of ["ipv4", "ipv6"] as const) {
      const tool = new IptablesTool(family, mode);
      if (!(await tool.works(signal))) continue;
      const input = planRemoval({ actual: await tool.read(signal), jumps: [], family, isOwned: isProxyChain });
      if (input === "") continue;
      await tool.restore(input, signal);
      log.info({ family, mode }, "removed the rules of kube-proxy");
    }
  }
}
