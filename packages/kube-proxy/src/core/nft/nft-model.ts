/**
 * The wanted nftables table of one family, kept up to date with the Services: an update costs what changed, and tells the
 * difference to the update before. Pure; the caller applies the difference, or compares the whole with the kernel.
 */
import type { NftChain, NftSet, NftTable } from "@knarr/netfilter/nft-rule.ts";
import type { NftChange } from "@knarr/netfilter/nft-state.ts";
import type { Sha256 } from "../chain-names.ts";
import { ElementLedger } from "../element-ledger.ts";
import type { PlanOptions } from "../plan-service.ts";
import { isSameView, keptEndpoints, type PlannedPort, type ServiceView, viewKey } from "../planned-port.ts";
import { endpointsOf, servicePortsOf } from "../service-port.ts";
import { countedChainContent, staticChains, staticSets, TABLE } from "./layout.ts";
import { type NftElement, type NftPortPlan, planNftPort } from "./plan-port.ts";

export interface NftPlannedPort extends PlannedPort {
  readonly plan: NftPortPlan;
}

interface Remembered {
  readonly view: ServiceView;
  readonly planned: readonly NftPlannedPort[];
}

export interface NftUpdate {
  readonly change: NftChange;
  readonly ports: readonly NftPlannedPort[];
  /** Those that are not as they were. */
  readonly changedPorts: readonly NftPlannedPort[];
}

export class NftModel {
  readonly #sha256: Sha256;
  readonly #ledger = new ElementLedger();
  readonly #chains = new Map<string, NftChain>();
  readonly #sets = new Map<string, NftSet>(Object.entries(staticSets));
  /** How many elements lead to a chain that Services share. */
  readonly #uses = new Map<string, number>();
  readonly #remembered = new Map<string, Remembered>();
  #nodePortIps: readonly NftElement[] = [];
  #options: PlanOptions | undefined;
  #settings = "";

  constructor(sha256: Sha256) {
    this.#sha256 = sha256;
  }

  /** `changed`, when given, names the only views that differ from those of the last update. */
  update(
    views: readonly ServiceView[],
    options: PlanOptions,
    changed?: ReadonlyMap<string, ServiceView | undefined>,
  ): NftUpdate {
    const settings = JSON.stringify(options);
    const isSameSettings = settings === this.#settings;
    this.#settings = settings;
    this.#options = options;
    const changes = new ChainChanges();
    if (!isSameSettings) this.#applySettings(options, changes);
    const changedPorts: NftPlannedPort[] = [];
    const candidates = isSameSettings && changed !== undefined ? changed : this.#allViews(views);
    for (const [key, view] of candidates) {
      const before = this.#remembered.get(key);
      if (before !== undefined && view !== undefined && isSameSettings && isSameView(before.view, view)) continue;
      const planned = view === undefined ? [] : this.#planView(view, options);
      for (const port of planned) this.#addPort(port.plan, changes);
      for (const port of before?.planned ?? []) this.#removePort(port.plan, changes, planned);
      if (view === undefined) this.#remembered.delete(key);
      else this.#remembered.set(key, { view, planned });
      changedPorts.push(...planned);
    }
    const ports = [...this.#remembered.values()].flatMap(({ planned }) => planned);
    return { ports, changedPorts, change: this.#takeChange(changes, isSameSettings) };
  }

  /** Those that are there, and those that are not there any more. */
  #allViews(views: readonly ServiceView[]): Map<string, ServiceView | undefined> {
    const all = new Map<string, ServiceView | undefined>(views.map((view) => [viewKey(view), view]));
    for (const key of this.#remembered.keys()) if (!all.has(key)) all.set(key, undefined);
    return all;
  }

  get chains(): ReadonlyMap<string, NftChain> {
    return this.#chains;
  }

  /** The whole table, as after the last update. */
  table(): NftTable {
    const family = this.#options?.family ?? "ipv4";
    return { family, name: TABLE, chains: this.#chains, sets: this.#sets, elements: this.#ledger.elements() };
  }

  #planView(view: ServiceView, options: PlanOptions): NftPlannedPort[] {
    return servicePortsOf(view.service, options.family).map((port) => {
      const endpoints = endpointsOf(view.slices, port, options);
      return {
        port,
        endpoints: keptEndpoints(port, endpoints),
        plan: planNftPort({ port, endpoints, options, sha256: this.#sha256 }),
      };
    });
  }

  #applySettings(options: PlanOptions, changes: ChainChanges): void {
    for (const [name, chain] of staticChains(options)) this.#writeChain(name, chain, changes);
    for (const element of this.#nodePortIps) this.#ledger.remove(element);
    this.#nodePortIps = (options.nodePortIps ?? []).map((key) => ({ owner: "", set: "nodeport-ips", key, value: "" }));
    for (const element of this.#nodePortIps) this.#ledger.add(element);
  }

  #writeChain(name: string, chain: NftChain, changes: ChainChanges): void {
    const before = this.#chains.get(name);
    if (before !== undefined && isSame(before, chain)) return;
    this.#chains.set(name, chain);
    changes.deleted.delete(name);
    changes.written.add(name);
  }

  #addPort(plan: NftPortPlan, changes: ChainChanges): void {
    for (const [name, set] of plan.sets) {
      if (!this.#sets.has(name)) changes.addedSets.add(name);
      this.#sets.set(name, set);
    }
    for (const [name, chain] of plan.chains) this.#writeChain(name, chain, changes);
    for (const element of plan.elements) {
      this.#ledger.add(element);
      this.#use(element, 1);
    }
  }

  /** `successors` are the plans that take over its own chains and sets. */
  #removePort(plan: NftPortPlan, changes: ChainChanges, successors: readonly NftPlannedPort[]): void {
    for (const element of plan.elements) {
      this.#ledger.remove(element);
      this.#use(element, -1);
    }
    for (const name of plan.chains.keys()) {
      if (!successors.some((port) => port.plan.chains.has(name))) this.#deleteChain(name, changes);
    }
    for (const name of plan.sets.keys()) {
      if (successors.some((port) => port.plan.sets.has(name))) continue;
      this.#sets.delete(name);
      if (!changes.addedSets.delete(name)) changes.deletedSets.add(name);
    }
  }

  #deleteChain(name: string, changes: ChainChanges): void {
    if (!this.#chains.delete(name)) return;
    changes.written.delete(name);
    changes.deleted.add(name);
  }

  #use(element: NftElement, by: number): void {
    if (!element.value.startsWith("goto ")) return;
    const name = element.value.slice(5);
    this.#uses.set(name, (this.#uses.get(name) ?? 0) + by);
  }

  /** Shared chains that came into use are added, those out of use deleted. */
  #takeChange(changes: ChainChanges, isSameSettings: boolean): NftChange {
    const options = this.#options as PlanOptions;
    for (const [name, uses] of this.#uses) {
      if (uses > 0 && isSameSettings && this.#chains.has(name)) continue;
      const content = countedChainContent(name, options);
      if (uses === 0) this.#uses.delete(name);
      if (content === undefined) continue;
      if (uses === 0) this.#deleteChain(name, changes);
      else this.#writeChain(name, content, changes);
    }
    return {
      rebuild: false,
      addedSets: pick(this.#sets, changes.addedSets),
      deletedSets: [...changes.deletedSets].filter((name) => !this.#sets.has(name)),
      writtenChains: pick(this.#chains, changes.written),
      deletedChains: [...changes.deleted].filter((name) => !this.#chains.has(name)),
      elements: this.#ledger.takeChanges(),
    };
  }
}

class ChainChanges {
  readonly written = new Set<string>();
  readonly deleted = new Set<string>();
  readonly addedSets = new Set<string>();
  readonly deletedSets = new Set<string>();
}

function pick<T>(from: ReadonlyMap<string, T>, names: ReadonlySet<string>): Map<string, T> {
  return new Map([...from].filter(([name]) => names.has(name)));
}

function isSame(a: NftChain, b: NftChain): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
