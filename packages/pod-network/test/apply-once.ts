/** Runs inside a namespace that plays a node: plans and applies once for the Nodes given as an argument. Test equipment. */
import { createLogger } from "@knarr/daemon/logger.ts";
import { FilterRules } from "../src/adapters/filter-rules.ts";
import { readLinks } from "../src/adapters/kernel.ts";
import { applyNetwork } from "../src/apply-network.ts";
import { planNetwork } from "../src/core/plan-network.ts";

const { name, nodes, options, cniConfDir } = JSON.parse(process.argv[2] ?? "");
const { signal } = new AbortController();
const links = await readLinks([options.bridge], signal);
const own = nodes.find((node: { metadata: { name: string } }) => node.metadata.name === name);
const plan = planNetwork(own, nodes, links, options);
if ("notYet" in plan) throw new Error(plan.notYet);
const log = createLogger({ name: "apply-once" });
await applyNetwork(plan, { cniConfDir, filterRules: new FilterRules(), log, signal });
