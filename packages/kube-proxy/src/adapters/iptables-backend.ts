/**
 * Keeps one family's rules in the kernel equal to the plan. Between full syncs it trusts what it last wrote, so that a
 * change costs one restore of the chains that differ; a full sync reads the kernel and repairs whatever differs there.
 * A failed restore makes the next sync a full one.
 */
import { planRestore, renderChains, stateAfter, type TableTexts } from "@knarr/netfilter/iptables-state.ts";
import type { IptablesTool } from "@knarr/netfilter/iptables-tool.ts";
import { countRules } from "@knarr/netfilter/ruleset.ts";
import { isProxyChain } from "../core/chain-names.ts";
import { RulesetPlanner } from "../core/plan-ruleset.ts";
import type { PlanOptions } from "../core/plan-service.ts";
import type { PlannedPort, ServiceView } from "../core/planned-port.ts";
import type { Backend, SyncOutcome, SyncRequest } from "./backend.ts";
import { sha256 } from "./sha256.ts";

export class IptablesBackend implements Backend {
  readonly mode = "iptables";
  readonly tool: IptablesTool;
  readonly #planner = new RulesetPlanner(sha256);
  #known: TableTexts | undefined;
  #ports: ReadonlySet<PlannedPort> = new Set();

  get family(): IptablesTool["family"] {
    return this.tool.family;
  }

  constructor(tool: IptablesTool) {
    this.tool = tool;
  }

  /** Nothing half-written stays after a failure: tables are atomic. */
  async sync(views: readonly ServiceView[], options: PlanOptions, request: SyncRequest): Promise<SyncOutcome> {
    const { family } = this;
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
    const rules = { nat: countRules(plan.ruleset, "nat"), filter: countRules(plan.ruleset, "filter") };
    const { ports } = plan;
    return { ports, changedPorts, full, changedChains, deletedChains, changedElements: 0, ruleLines, rules };
  }
}
