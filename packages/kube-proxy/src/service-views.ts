/**
 * Every Service with its slices, in a stable order, and which of them changed since they were last taken: so that a change
 * among 10,000 Services costs what it changed.
 */
import type { Service } from "@knarr/api/generated/types/core-v1.ts";
import type { EndpointSlice } from "@knarr/api/generated/types/discovery-v1.ts";
import type { Informer } from "@knarr/client/informer.ts";
import type { ServiceView } from "./core/planned-port.ts";
import { SERVICE_NAME } from "./core/slim-objects.ts";

/** Key -> what it is now; undefined for a Service that is gone. */
export type ChangedViews = ReadonlyMap<string, ServiceView | undefined>;

export class ServiceViews {
  readonly #services: Informer<Service>;
  readonly #slices: Informer<EndpointSlice>;
  readonly #views = new Map<string, ServiceView>();
  #sorted: readonly ServiceView[] = [];
  #changed = new Set<string>();

  /** The slices must be indexed as "service" by what `serviceOf` tells. */
  constructor(services: Informer<Service>, slices: Informer<EndpointSlice>) {
    this.#services = services;
    this.#slices = slices;
  }

  serviceChanged({ metadata }: Service): void {
    this.#changed.add(`${metadata.namespace}/${metadata.name}`);
  }

  sliceChanged(slice: EndpointSlice): void {
    this.#changed.add(serviceOf(slice));
  }

  /** All of them, sorted by name, so that the same cluster gives the same rules also after a restart; and the changes. */
  take(): { readonly services: readonly ServiceView[]; readonly changed: ChangedViews } {
    const changed = new Map<string, ServiceView | undefined>();
    let isOtherOrder = false;
    for (const key of this.#changed) {
      const view = this.#read(key);
      const before = this.#views.get(key);
      if (view === undefined && before === undefined) continue;
      changed.set(key, view);
      isOtherOrder ||= view === undefined || before === undefined;
      if (view === undefined) this.#views.delete(key);
      else this.#views.set(key, view);
    }
    this.#changed = new Set();
    if (isOtherOrder) {
      const entries = [...this.#views].sort(([a], [b]) => compare(a, b));
      this.#views.clear();
      for (const [key, view] of entries) this.#views.set(key, view);
    }
    if (changed.size > 0) this.#sorted = [...this.#views.values()];
    return { services: this.#sorted, changed };
  }

  #read(key: string): ServiceView | undefined {
    const slash = key.indexOf("/");
    const service = this.#services.get({ namespace: key.slice(0, slash), name: key.slice(slash + 1) });
    if (service === undefined) return undefined;
    const slices = [...this.#slices.byIndex("service", key)];
    return { service, slices: slices.sort((a, b) => compare(a.metadata.name, b.metadata.name)) };
  }
}

/** The key of the Service that a slice belongs to. */
export function serviceOf(slice: EndpointSlice): string {
  return `${slice.metadata.namespace}/${slice.metadata.labels?.[SERVICE_NAME] ?? ""}`;
}

function compare(a = "", b = ""): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
