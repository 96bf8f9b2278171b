/**
 * Services + EndpointSlices + node -> the complete ruleset of one address family. Pure; the planner only remembers the
 * plans of Services whose objects have not changed, so that a change costs what changed.
 */
import type { EndpointSlice } from "@knarr/api/generated/types/discovery-v1.ts";
import { accept, drop, jumpTo, orMark, type Rule, returnToCaller, type Table, xorMark } from "@knarr/netfilter/rule.ts";
import type { BaseJump, Ruleset } from "@knarr/netfilter/ruleset.ts";
import { chains, type Sha256 } from "./chain-names.ts";
import { type PlanOptions, planService, type ServicePlan } from "./plan-service.ts";
import { isSameView, type PlannedPort, type ServiceView } from "./planned-port.ts";
import { endpointsOf, servicePortsOf } from "./service-port.ts";

/** Above this many endpoints comments are left out of the per-service chains. Source: upstream's large cluster mode. */
const LARGE_CLUSTER_ENDPOINTS = 1000;

export interface RulesetPort extends PlannedPort {
  readonly plan: ServicePlan;
}

export interface RulesetPlan {
  readonly ruleset: Ruleset;
  readonly ports: readonly RulesetPort[];
}

interface Remembered {
  readonly view: ServiceView;
  readonly planned: readonly RulesetPort[];
}

export class RulesetPlanner {
  readonly #sha256: Sha256;
  #remembered = new Map<string, Remembered>();
  #settings = "";

  constructor(sha256: Sha256) {
    this.#sha256 = sha256;
  }

  plan(views: readonly ServiceView[], options: PlanOptions): RulesetPlan {
    const endpointCount = views.reduce((sum, view) => sum + countEndpoints(view.slices), 0);
    const comments = endpointCount <= LARGE_CLUSTER_ENDPOINTS;
    const settings = JSON.stringify([options, comments]);
    const kept = settings === this.#settings ? this.#remembered : new Map<string, Remembered>();
    const next = new Map<string, Remembered>();
    const ports: RulesetPort[] = [];
    for (const view of views) {
      const key = `${view.service.metadata.namespace}/${view.service.metadata.name}`;
      const before = kept.get(key);
      const planned =
        before !== undefined && isSameView(before.view, view)
          ? before.planned
          : this.#planView(view, options, comments);
      next.set(key, { view, planned });
      ports.push(...planned);
    }
    this.#remembered = next;
    this.#settings = settings;
    return { ruleset: assemble(ports, options), ports };
  }

  #planView(view: ServiceView, options: PlanOptions, comments: boolean): RulesetPort[] {
    return servicePortsOf(view.service, options.family).map((port) => {
      const endpoints = endpointsOf(view.slices, port, options);
      return { port, endpoints, plan: planService({ port, endpoints, options, comments, sha256: this.#sha256 }) };
    });
  }
}

function countEndpoints(slices: readonly EndpointSlice[]): number {
  return slices.reduce((sum, slice) => sum + (slice.endpoints?.length ?? 0) * (slice.ports?.length ?? 0), 0);
}

function assemble(ports: readonly RulesetPort[], options: PlanOptions): Ruleset {
  const all = (pick: (plan: ServicePlan) => readonly Rule[]) => ports.flatMap(({ plan }) => pick(plan));
  const nat = new Map<string, readonly Rule[]>();
  nat.set(chains.services, [...all((plan) => plan.natServices), ...nodePortRules(options)]);
  nat.set(
    chains.nodePorts,
    all((plan) => plan.natNodePorts),
  );
  nat.set(chains.postrouting, postroutingRules(options));
  nat.set(chains.markMasquerade, [{ target: orMark(options.masqueradeMark) }]);
  for (const { plan } of ports) for (const [name, rules] of plan.ownChains) nat.set(name, rules);
  const filter = new Map<string, readonly Rule[]>();
  filter.set(
    chains.services,
    all((plan) => plan.filterServices),
  );
  filter.set(
    chains.externalServices,
    all((plan) => plan.filterExternal),
  );
  filter.set(
    chains.nodePorts,
    all((plan) => plan.filterNodePorts),
  );
  filter.set(
    chains.proxyFirewall,
    all((plan) => plan.filterFirewall),
  );
  filter.set(chains.forward, forwardRules(options));
  const guardsLocalnet = options.family === "ipv4" && options.localhostNodePorts;
  if (guardsLocalnet) filter.set(chains.localnetFirewall, localnetRules);
  for (const table of [nat, filter]) table.set(chains.canary, []);
  return {
    chains: new Map<Table, Map<string, readonly Rule[]>>([
      ["filter", filter],
      ["nat", nat],
    ]),
    jumps: guardsLocalnet ? [...jumps, ...localnetJumps] : jumps,
  };
}

/** Last in KUBE-SERVICES: what goes to the node itself may be for a node port. */
function nodePortRules(options: PlanOptions): Rule[] {
  const comment = "kubernetes service nodeports; NOTE: this must be the last rule in this chain";
  const target = jumpTo(chains.nodePorts);
  if (options.nodePortIps !== undefined) {
    return options.nodePortIps.map((address) => ({ destination: { is: address }, comment, target }));
  }
  // The kernel never routes translated packets out of ::1, and out of 127.0.0.0/8 only with route_localnet.
  if (options.family === "ipv6") {
    return [{ destination: { is: "::1", not: true }, comment, destinationIsLocal: true, target }];
  }
  const localhost = options.localhostNodePorts ? {} : { destination: { is: "127.0.0.0/8", not: true } };
  return [{ ...localhost, comment, destinationIsLocal: true, target }];
}

function postroutingRules(options: PlanOptions): Rule[] {
  const mark = { value: options.masqueradeMark, mask: options.masqueradeMark };
  return [
    { mark: { is: mark, not: true }, target: returnToCaller },
    // Cleared, so that a packet that comes through the stack again is judged anew.
    { target: xorMark(options.masqueradeMark) },
    {
      comment: "kubernetes service traffic requiring SNAT",
      target: { kind: "masquerade", randomFully: options.randomFully },
    },
  ];
}

function forwardRules(options: PlanOptions): Rule[] {
  const mark = { value: options.masqueradeMark, mask: options.masqueradeMark };
  const rules: Rule[] = [
    { comment: "kubernetes forwarding rules", mark: { is: mark }, target: accept },
    {
      comment: "kubernetes forwarding conntrack rule",
      conntrack: { is: ["RELATED", "ESTABLISHED"] },
      target: accept,
    },
  ];
  // An out-of-window segment that slips through untranslated would make the client reset the connection.
  if (options.dropInvalid) rules.unshift({ conntrack: { is: ["INVALID"] }, target: drop });
  return rules;
}

/** route_localnet would let neighbours reach what listens on loopback. Source: CVE-2020-8558 */
const localnetRules: readonly Rule[] = [
  {
    source: { is: "127.0.0.0/8", not: true },
    destination: { is: "127.0.0.0/8" },
    comment: "block incoming localnet connections",
    conntrack: { is: ["RELATED", "ESTABLISHED", "DNAT"], not: true },
    target: drop,
  },
];

function jump(table: Table, from: string, rule: Omit<Rule, "target">, to: string): BaseJump {
  return { table, from, place: "first", rule: { ...rule, target: jumpTo(to) } };
}

const isNew = { conntrack: { is: ["NEW"] } } as const;
const balancerFirewall = { ...isNew, comment: "kubernetes load balancer firewall" };
const portals = { ...isNew, comment: "kubernetes service portals" };
const externalPortals = { ...isNew, comment: "kubernetes externally-visible service portals" };

/** In the order in which they stand in the built-in chains. */
const jumps: readonly BaseJump[] = [
  jump("filter", "INPUT", balancerFirewall, chains.proxyFirewall),
  jump("filter", "INPUT", { comment: "kubernetes health check service ports" }, chains.nodePorts),
  jump("filter", "INPUT", externalPortals, chains.externalServices),
  jump("filter", "FORWARD", balancerFirewall, chains.proxyFirewall),
  jump("filter", "FORWARD", { comment: "kubernetes forwarding rules" }, chains.forward),
  jump("filter", "FORWARD", portals, chains.services),
  jump("filter", "FORWARD", externalPortals, chains.externalServices),
  jump("filter", "OUTPUT", balancerFirewall, chains.proxyFirewall),
  jump("filter", "OUTPUT", portals, chains.services),
  jump("nat", "PREROUTING", { comment: "kubernetes service portals" }, chains.services),
  jump("nat", "OUTPUT", { comment: "kubernetes service portals" }, chains.services),
  jump("nat", "POSTROUTING", { comment: "kubernetes postrouting rules" }, chains.postrouting),
];
const localnetJumps: readonly BaseJump[] = [
  jump("filter", "INPUT", {}, chains.localnetFirewall),
  jump("filter", "OUTPUT", {}, chains.localnetFirewall),
];
