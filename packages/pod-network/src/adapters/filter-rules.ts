/** Keeps our chains in the packet filter equal to the plan; compares with the kernel each time, since they are few. */
import type { IpFamily } from "@knarr/netfilter/ip.ts";
import { planRemoval, planRestore, renderChains } from "@knarr/netfilter/iptables-state.ts";
import { detectIptablesMode, type IptablesMode, IptablesTool, toolsWithRules } from "@knarr/netfilter/iptables-tool.ts";
import type { Ruleset } from "@knarr/netfilter/ruleset.ts";
import { isOwnChain } from "../core/plan-rules.ts";

export class FilterRules {
  #mode: IptablesMode | undefined;

  /** Rejects with a CommandError. */
  async apply(rules: ReadonlyMap<IpFamily, Ruleset>, signal: AbortSignal): Promise<void> {
    this.#mode ??= await detectIptablesMode(signal);
    for (const [family, ruleset] of rules) {
      const tool = new IptablesTool(family, this.#mode);
      const actual = await tool.read(signal);
      const wanted = renderChains(ruleset, family);
      const { input } = planRestore({ actual, wanted, jumps: ruleset.jumps, family, isOwned: isOwnChain });
      if (input !== "") await tool.restore(input, signal);
    }
  }
}

/** From both front ends and families, whichever was in use. */
export async function removeFilterRules(signal: AbortSignal): Promise<void> {
  for (const tool of await toolsWithRules(signal)) {
    const { family } = tool;
    const input = planRemoval({ actual: await tool.read(signal), jumps: [], family, isOwned: isOwnChain });
    if (input !== "") await tool.restore(input, signal);
  }
}
