/**
 * Keeps one family's nftables table equal to the model. A change is one transaction of the elements that differ (and one
 * before and after it where chains come and go); a full
 * sync reads the table and repairs what differs, so that a restart writes (almost) nothing and keeps what clients stick to.
 */
import type { IpFamily } from "@knarr/netfilter/ip.ts";
import { countNftRules } from "@knarr/netfilter/nft-rule.ts";
import {
  changeSteps,
  countElements,
  diffNft,
  isEmptyChange,
  type NftChange,
  renderNftScript,
} from "@knarr/netfilter/nft-state.ts";
import { NftTool } from "@knarr/netfilter/nft-tool.ts";
import { TABLE } from "../core/nft/layout.ts";
import { NftModel } from "../core/nft/nft-model.ts";
import type { PlanOptions } from "../core/plan-service.ts";
import type { ServiceView } from "../core/planned-port.ts";
import type { Backend, SyncOutcome, SyncRequest } from "./backend.ts";
import { sha256 } from "./sha256.ts";

export class NftBackend implements Backend {
  readonly mode = "nftables";
  readonly family: IpFamily;
  readonly #tool: NftTool;
  readonly #model = new NftModel(sha256);
  #inStep = false;
  /** What nft told of the rules after they were written; undefined when that is not known. */
  #rules: string | undefined;

  constructor(family: IpFamily) {
    this.family = family;
    this.#tool = new NftTool(family, TABLE);
  }

  async sync(views: readonly ServiceView[], options: PlanOptions, request: SyncRequest): Promise<SyncOutcome> {
    const { signal } = request;
    const full = request.full || !this.#inStep;
    const wasInStep = this.#inStep;
    // The model moves on whatever becomes of the write, so a failed one leaves nothing but the comparison.
    this.#inStep = false;
    const { change: difference, ports, changedPorts } = this.#model.update(views, options, request.changed);
    const change = full ? await this.#compare(signal) : difference;
    if (!isEmptyChange(change)) {
      for (const step of changeSteps(change)) {
        await this.#tool.apply(renderNftScript({ family: this.family, name: TABLE }, step), signal);
      }
      if (change.writtenChains.size + change.deletedChains.length > 0) {
        // Reading all takes longer than writing, so the rules are learnt when the kernel is compared anyway, later on.
        const learns = request.full && wasInStep;
        this.#rules = learns ? (await this.#tool.read(signal))?.rules : undefined;
      }
    }
    this.#inStep = true;
    const table = { chains: this.#model.chains };
    return {
      ports,
      changedPorts,
      full,
      changedChains: change.writtenChains.size,
      deletedChains: change.deletedChains.length,
      changedElements: countElements(change),
      ruleLines: [...change.writtenChains.values()].reduce((sum, { rules }) => sum + rules.length, 0),
      rules: { [TABLE]: countNftRules(table) },
    };
  }

  async #compare(signal: AbortSignal): Promise<NftChange> {
    const actual = await this.#tool.read(signal);
    return diffNft(actual, this.#model.table(), actual !== undefined && actual.rules === this.#rules);
  }
}
