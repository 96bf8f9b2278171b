/**
 * The wanted state of IPVS mode in one family, kept up to date with the Services: an update costs what changed, and tells
 * the difference to the update before. Pure; the caller applies the difference, or compares the whole with the kernel.
 */
import type { ElementChange } from "@knarr/netfilter/nft-state.ts";
import { ElementLedger } from "../element-ledger.ts";
import type { PlanOptions } from "../plan-service.ts";
import { isSameView, keptEndpoints, type PlannedPort, type ServiceView, viewKey } from "../planned-port.ts";
import { endpointsOf, servicePortsOf } from "../service-port.ts";
import { type IpvsPortPlan, planIpvsPort } from "./plan-port.ts";

export interface IpvsPlannedPort extends PlannedPort {
  readonly plan: IpvsPortPlan;
}

interface Remembered {
  readonly view: ServiceView;
  readonly planned: readonly IpvsPlannedPort[];
}

export interface IpvsUpdate {
  /** By set: the ipsets' names, SERVERS and ADDRESSES. */
  readonly changes: ReadonlyMap<string, ElementChange>;
  readonly ports: readonly IpvsPlannedPort[];
  /** Those that are not as they were. */
  readonly changedPorts: readonly IpvsPlannedPort[];
}

export class IpvsModel {
  readonly #scheduler: string;
  readonly #ledger = new ElementLedger();
  readonly #remembered = new Map<string, Remembered>();
  #settings = "";

  constructor(scheduler: string) {
    this.#scheduler = scheduler;
  }

  /** `changed`, when given, names the only views that differ from those of the last update. */
  update(
    views: readonly ServiceView[],
    options: PlanOptions,
    changed?: ReadonlyMap<string, ServiceView | undefined>,
  ): IpvsUpdate {
    const settings = JSON.stringify(options);
    const isSameSettings = settings === this.#settings;
    this.#settings = settings;
    const changedPorts: IpvsPlannedPort[] = [];
    for (const [key, view] of isSameSettings && changed !== undefined ? changed : this.#allViews(views)) {
      const before = this.#remembered.get(key);
      if (before !== undefined && view !== undefined && isSameSettings && isSameView(before.view, view)) continue;
      const planned = view === undefined ? [] : this.#planView(view, options);
      for (const { plan } of planned) for (const element of plan.elements) this.#ledger.add(element);
      for (const { plan } of before?.planned ?? []) for (const element of plan.elements) this.#ledger.remove(element);
      if (view === undefined) this.#remembered.delete(key);
      else this.#remembered.set(key, { view, planned });
      changedPorts.push(...planned);
    }
    const ports = [...this.#remembered.values()].flatMap(({ planned }) => planned);
    return { changes: this.#ledger.takeChanges(), ports, changedPorts };
  }

  /** All elements as after the last update, by set. */
  elements(): ReadonlyMap<string, ReadonlyMap<string, string>> {
    return this.#ledger.elements();
  }

  #allViews(views: readonly ServiceView[]): Map<string, ServiceView | undefined> {
    const all = new Map<string, ServiceView | undefined>(views.map((view) => [viewKey(view), view]));
    for (const key of this.#remembered.keys()) if (!all.has(key)) all.set(key, undefined);
    return all;
  }

  #planView(view: ServiceView, options: PlanOptions): IpvsPlannedPort[] {
    return servicePortsOf(view.service, options.family).map((port) => {
      const endpoints = endpointsOf(view.slices, port, options);
      return {
        port,
        endpoints: keptEndpoints(port, endpoints),
        plan: planIpvsPort({ port, endpoints, options, scheduler: this.#scheduler }),
      };
    });
  }
}
