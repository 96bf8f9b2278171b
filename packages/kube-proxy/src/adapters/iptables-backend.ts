/**
 * Keeps one family's rules in the kernel equal to the plan. Between full syncs it trusts what it last wrote, so that a
 * change costs one restore of the chains that differ; a full sync reads the kernel and repairs whatever differs there.
 * A failed restore makes the next sync a full one.
 */
import { planRestore, renderChains, stateAfter, type TableTexts } from "@knarr/netfilter/iptables-state.ts";
import type { IptablesTool } from "@knarr/netfilter/iptables-tool.ts";
import { isProxyChain } from "../core/chain-names.ts";
import { type PlannedPort, type RulesetPlan, RulesetPlanner, type ServiceView } from "../core/plan-ruleset.ts";
import type { PlanOptions } from "../core/plan-service.ts";
import { sha256 } from "./sha256.ts";

export interface SyncOutcome {
  readonly plan: RulesetPlan;
  readonly full: boolean;
  /** Chains rewritten and deleted in the kernel; 0 when it was as wanted. */
  readonly changedChains: number;
  readonly deletedChains: number;
  readonly ruleLines: number;
  /** Ports whose rules or endpoints are not those of the sync before. */
  readonly changedPorts: readonly PlannedPort[];
}

export class IptablesBackend {
  readonly tool: IptablesTool;
  readonly #planner = new RulesetPlanner(sha256);
  #known: TableTexts | undefined;
  #ports: ReadonlySet<PlannedPort> = new Set();

  constructor(tool: IptablesTool) {
    this.tool = tool;
  }

  /** Rejects with a CommandError when the kernel's tool fails; nothing half-written stays then, tables are atomic. */
  async sync(
    views: readonly ServiceView[],
    options: PlanOptions,
    request: { readonly full: boolean; readonly signal: AbortSignal },
  ): Promise<SyncOutcome> {
    const { family } = this.tool;
    const plan = this.#planner.plan(views, options);
    const full = request.full || this.#known === undefined;
    const actual = full ? await this.tool.read(request.signal) : (this.#known as TableTexts);
    const wanted = renderChains(plan.ruleset, family);
    const restoreRequest = { actual, wanted, jumps: plan.ruleset.jumps, family, isOwned: isProxyChain };
    const restore = planRestore(restoreRequest);
    if (restore.input !== "") {
      this.#known = undefined;
      await this.tool.restore(restore.input, request.signal);
    }
    this.#known = stateAfter(restoreRequest);
    const before = this.#ports;
    this.#ports = new Set(plan.ports);
    const { changedChains, deletedChains, ruleLines } = restore;
    const changedPorts = plan.ports.filter((port) => !before.has(port));
    return { plan, full, changedChains, deletedChains, ruleLines, changedPorts };
  }
}
