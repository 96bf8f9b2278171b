/**
 * Keeps one family's virtual servers, ipsets, addresses and the few iptables rules around them equal to the model. The
 * kernel has no transaction over all of these, so what adds goes first and what takes away last:
 *
 *   ipsets + -> rules -> virtual and real servers + -> addresses + -> addresses - -> servers - -> ipsets -
 *
 * Between full syncs it trusts what it last wrote; a failed write makes the next sync a full one.
 */
import type { IpFamily } from "@knarr/netfilter/ip.ts";
import { familyOf, prefixContains } from "@knarr/netfilter/ip.ts";
import {
  diffIpSet,
  type IpSetChange,
  type IpSetType,
  renderIpSetAdds,
  renderIpSetCreate,
  renderIpSetDeletes,
} from "@knarr/netfilter/ip-set.ts";
import { IpSetTool } from "@knarr/netfilter/ip-set-tool.ts";
import { planRestore, renderChains, stateAfter, type TableTexts } from "@knarr/netfilter/iptables-state.ts";
import type { IptablesTool } from "@knarr/netfilter/iptables-tool.ts";
import {
  planVirtualServer,
  renderServerRemoval,
  splitVirtualServerKey,
  type VirtualServer,
} from "@knarr/netfilter/ipvs.ts";
import { IpvsTool } from "@knarr/netfilter/ipvs-tool.ts";
import { countRules } from "@knarr/netfilter/ruleset.ts";
import { isProxyChain } from "../core/chain-names.ts";
import { IpvsModel, type IpvsUpdate } from "../core/ipvs/ipvs-model.ts";
import { DUMMY_INTERFACE, type IpvsSet, ipvsRuleset, ipvsSets, setName } from "../core/ipvs/layout.ts";
import { ADDRESSES, decodeServer, SERVERS } from "../core/ipvs/plan-port.ts";
import type { PlanOptions } from "../core/plan-service.ts";
import type { ServiceView } from "../core/planned-port.ts";
import type { Backend, SyncOutcome, SyncRequest } from "./backend.ts";
import { DummyInterface } from "./dummy-interface.ts";

export interface IpvsBackendOptions {
  readonly scheduler: string;
  /** Virtual servers on these are someone else's. */
  readonly excludeCidrs: readonly string[];
}

/** The difference to the kernel, in the parts that are written one after the other. */
interface Difference {
  readonly sets: ReadonlyMap<string, IpSetChange>;
  readonly createdSets: readonly string[];
  readonly additions: readonly string[];
  readonly removals: readonly string[];
  /** Removes what was left to end its connections and has; it is no difference. */
  readonly drained: readonly string[];
  readonly addresses: { readonly added: readonly string[]; readonly deleted: readonly string[] };
}

export class IpvsBackend implements Backend {
  readonly mode = "ipvs";
  readonly tool: IptablesTool;
  readonly #options: IpvsBackendOptions;
  readonly #model: IpvsModel;
  readonly #sets = new IpSetTool();
  readonly #ipvs = new IpvsTool();
  readonly #dummy = new DummyInterface(DUMMY_INTERFACE);
  /** Virtual servers as last written, encoded; undefined when that is not known. */
  #servers: Map<string, string> | undefined;
  /** Real servers with weight 0 that end their connections, by virtual server. */
  #draining = new Map<string, ReadonlySet<string>>();
  #rules: TableTexts | undefined;

  constructor(tool: IptablesTool, options: IpvsBackendOptions) {
    this.tool = tool;
    this.#options = options;
    this.#model = new IpvsModel(options.scheduler);
  }

  get family(): IpFamily {
    return this.tool.family;
  }

  async sync(views: readonly ServiceView[], options: PlanOptions, request: SyncRequest): Promise<SyncOutcome> {
    const { signal } = request;
    const full = request.full || this.#servers === undefined || this.#rules === undefined;
    const update = this.#model.update(views, options, request.changed);
    const difference = full ? await this.#compare(signal) : this.#differenceOf(update);
    const known = this.#servers;
    // The model moves on whatever becomes of the write, so a failed one leaves nothing but the comparison.
    this.#servers = undefined;
    await this.#sets.restore(this.#setLines(difference, "add"), signal);
    const rules = await this.#writeRules(options, full, signal);
    await this.#ipvs.restore(difference.additions, signal);
    await this.#dummy.change(this.family, difference.addresses, signal);
    await this.#ipvs.restore([...difference.removals, ...difference.drained], signal);
    await this.#sets.restore(this.#setLines(difference, "delete"), signal);
    this.#servers = full || known === undefined ? new Map(this.#model.elements().get(SERVERS)) : known;
    if (!full) this.#remember(update);
    const { additions, removals, addresses, sets } = difference;
    const entries = [...sets.values()].reduce((sum, { added, deleted }) => sum + [...added].length + deleted.length, 0);
    const { ports, changedPorts } = update;
    return {
      ports,
      changedPorts,
      full,
      changedChains: rules.changedChains,
      deletedChains: rules.deletedChains,
      changedElements: additions.length + removals.length + addresses.added.length + addresses.deleted.length + entries,
      ruleLines: rules.ruleLines,
      rules: rules.count,
    };
  }

  #setLines({ sets, createdSets }: Difference, what: "add" | "delete"): string[] {
    const types = ipvsSets as Readonly<Record<IpvsSet, IpSetType>>;
    const creates = (Object.keys(types) as IpvsSet[]).flatMap((set) => {
      const name = setName(set, this.family);
      return what === "add" && createdSets.includes(name) ? [renderIpSetCreate(name, types[set], this.family)] : [];
    });
    const render = what === "add" ? renderIpSetAdds : renderIpSetDeletes;
    return creates.concat([...sets].flatMap(([name, change]) => render(name, change)));
  }

  async #writeRules(options: PlanOptions, full: boolean, signal: AbortSignal) {
    const { family } = this;
    const ruleset = ipvsRuleset(options);
    const wanted = renderChains(ruleset, family);
    const actual = full || this.#rules === undefined ? await this.tool.read(signal) : this.#rules;
    const restoreRequest = { actual, wanted, jumps: ruleset.jumps, family, isOwned: isProxyChain };
    const plan = planRestore(restoreRequest);
    if (plan.input !== "") {
      this.#rules = undefined;
      await this.tool.restore(plan.input, signal);
    }
    this.#rules = stateAfter(restoreRequest);
    return { ...plan, count: { nat: countRules(ruleset, "nat"), filter: countRules(ruleset, "filter") } };
  }

  /** What the update changed, taken against what was last written. */
  #differenceOf({ changes }: IpvsUpdate): Difference {
    const additions: string[] = [];
    const removals: string[] = [];
    const servers = changes.get(SERVERS);
    for (const key of new Set([...(servers?.added.keys() ?? []), ...(servers?.deleted ?? [])])) {
      const wanted = servers?.added.get(key);
      const plan = planVirtualServer(
        key,
        this.#lastWritten(key),
        wanted === undefined ? undefined : decodeServer(wanted),
      );
      additions.push(...plan.additions);
      removals.push(...plan.removals);
      this.#setDraining(key, plan.draining);
    }
    const sets = new Map<string, IpSetChange>();
    for (const [name, { added, deleted }] of changes) {
      if (name !== SERVERS && name !== ADDRESSES) sets.set(name, { added: [...added.keys()], deleted });
    }
    const { added = new Map<string, string>(), deleted = [] } = changes.get(ADDRESSES) ?? {};
    return {
      sets,
      createdSets: [],
      additions,
      removals,
      drained: [],
      addresses: { added: [...added.keys()], deleted },
    };
  }

  #lastWritten(key: string): VirtualServer | undefined {
    const written = this.#servers?.get(key);
    if (written === undefined) return undefined;
    const { options, servers } = decodeServer(written);
    const weights = new Map([...servers].map((server) => [server, 1]));
    for (const server of this.#draining.get(key) ?? []) weights.set(server, 0);
    return { options, servers: weights };
  }

  #setDraining(key: string, servers: readonly string[]): void {
    if (servers.length === 0) this.#draining.delete(key);
    else this.#draining.set(key, new Set(servers));
  }

  #remember({ changes }: IpvsUpdate): void {
    const { added, deleted } = changes.get(SERVERS) ?? {};
    for (const key of deleted ?? []) this.#servers?.delete(key);
    for (const [key, value] of added ?? []) this.#servers?.set(key, value);
  }

  /** What the kernel has otherwise than wanted; real servers that have ended their connections are removed. */
  async #compare(signal: AbortSignal): Promise<Difference> {
    const { family } = this;
    await this.#dummy.ensure(signal);
    const wanted = this.#model.elements();
    const wantedServers = wanted.get(SERVERS) ?? new Map<string, string>();
    const actualServers = await this.#ipvs.read(signal);
    const additions: string[] = [];
    const removals: string[] = [];
    this.#draining = new Map();
    for (const key of new Set([...wantedServers.keys(), ...actualServers.keys()])) {
      if (!wantedServers.has(key) && !this.#isOurs(key)) continue;
      const value = wantedServers.get(key);
      const plan = planVirtualServer(
        key,
        actualServers.get(key),
        value === undefined ? undefined : decodeServer(value),
      );
      additions.push(...plan.additions);
      removals.push(...plan.removals);
      this.#setDraining(key, plan.draining);
    }
    const drained = await this.#drained(actualServers, signal);
    const actualAddresses = await this.#dummy.addresses(family, signal);
    const wantedAddresses = new Set(wanted.get(ADDRESSES)?.keys() ?? []);
    const sets = new Map<string, IpSetChange>();
    const actualSets = await this.#sets.read(signal);
    const createdSets: string[] = [];
    for (const set of Object.keys(ipvsSets) as IpvsSet[]) {
      const name = setName(set, family);
      const actual = actualSets.get(name);
      if (actual === undefined) createdSets.push(name);
      const change = diffIpSet(actual?.entries ?? new Set(), new Set(wanted.get(name)?.keys() ?? []));
      sets.set(name, change);
    }
    const added = [...wantedAddresses.difference(actualAddresses)];
    const deleted = [...actualAddresses.difference(wantedAddresses)];
    return { sets, createdSets, additions, removals, drained, addresses: { added, deleted } };
  }

  /** Those that were left to end their connections, and have none any more. */
  async #drained(actual: ReadonlyMap<string, VirtualServer>, signal: AbortSignal): Promise<string[]> {
    if (this.#draining.size === 0) return [];
    const connections = await this.#ipvs.readConnections(signal);
    const lines: string[] = [];
    for (const [key, servers] of this.#draining) {
      const idle = [...servers].filter((server) => {
        // One that still had weight when it was read may have taken a connection since.
        if (actual.get(key)?.servers.get(server) !== 0) return false;
        const count = connections.get(key)?.get(server);
        return count !== undefined && count.active + count.inactive === 0;
      });
      lines.push(...idle.map((server) => renderServerRemoval(key, server)));
      this.#setDraining(
        key,
        [...servers].filter((server) => !idle.includes(server)),
      );
    }
    return lines;
  }

  #isOurs(key: string): boolean {
    const { hostPort } = splitVirtualServerKey(key);
    const address = hostPort.slice(0, hostPort.lastIndexOf(":")).replace(/^\[|\]$/g, "");
    if (familyOf(address) !== this.family) return false;
    return !this.#options.excludeCidrs.some((cidr) => prefixContains(cidr, address));
  }
}
