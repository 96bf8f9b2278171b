/**
 * Keeps the zone equal to the API: Services, EndpointSlices, Namespaces -> dirty keys -> records. A key's records are
 * always made anew from the informers' stores. The zone is complete only when all three are synced.
 */
import { core, discovery } from "@knarr/api/generated/resources.ts";
import type { Namespace, Service } from "@knarr/api/generated/types/core-v1.ts";
import type { EndpointSlice } from "@knarr/api/generated/types/discovery-v1.ts";
import { keyOf } from "@knarr/apimachinery/object.ts";
import { keyString, parseKeyString } from "@knarr/apimachinery/resource.ts";
import type { Client } from "@knarr/client/client.ts";
import { Informer } from "@knarr/client/informer.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import { recordsOfService } from "./core/service-records.ts";
import type { Zone } from "./core/zone.ts";

export interface ZoneFeedOptions {
  readonly client: Client;
  readonly zone: Zone;
  readonly zoneName: string;
  /** The name server's addresses while kube-system/kube-dns has none. */
  readonly ownAddresses: readonly string[];
  readonly clock: Clock;
  readonly log: Logger;
}

const kubeDns = "kube-system/kube-dns";

export class ZoneFeed {
  readonly #options: ZoneFeedOptions;
  readonly #services: Informer<Service>;
  readonly #slices: Informer<EndpointSlice>;
  readonly #namespaces: Informer<Namespace>;
  readonly #dirty = new Set<string>();

  constructor(options: ZoneFeedOptions) {
    this.#options = options;
    const { client, clock, log, zone } = options;
    this.#services = new Informer<Service>(client, core.services, { clock, log });
    this.#slices = new Informer<EndpointSlice>(client, discovery.endpointslices, {
      clock,
      log,
      indexers: { service: (slice) => [serviceOf(slice)] },
    });
    this.#namespaces = new Informer<Namespace>(client, core.namespaces, { clock, log });
    const mark = (key: string) => this.#mark(key);
    this.#services.subscribe({
      added: (service) => mark(keyString(keyOf(service))),
      updated: (_old, service) => mark(keyString(keyOf(service))),
      deleted: (service) => mark(keyString(keyOf(service))),
    });
    this.#slices.subscribe({
      added: (slice) => mark(serviceOf(slice)),
      updated: (old, slice) => {
        mark(serviceOf(old));
        mark(serviceOf(slice));
      },
      deleted: (slice) => mark(serviceOf(slice)),
    });
    this.#namespaces.subscribe({
      added: (namespace) => zone.setNamespace(namespace.metadata.name ?? "", true),
      deleted: (namespace) => zone.setNamespace(namespace.metadata.name ?? "", false),
    });
    zone.setNameServers(options.ownAddresses);
  }

  async run(signal: AbortSignal): Promise<void> {
    const informers = [this.#services, this.#slices, this.#namespaces];
    const running = informers.map((informer) => informer.run(signal));
    const feeding = Promise.all(informers.map((informer) => informer.waitForSync(signal))).then(() => {
      this.#flush();
      this.#options.zone.setComplete();
      this.#options.log.info({ services: this.#services.list().length }, "zone is complete");
    });
    await Promise.all([feeding, ...running]);
  }

  #mark(key: string): void {
    const idle = this.#dirty.size === 0;
    this.#dirty.add(key);
    // One turn of the loop later, so that a burst about one Service makes its records once.
    if (idle && this.#options.zone.complete) setImmediate(() => this.#flush());
  }

  #flush(): void {
    const { clock, log, ownAddresses, zone, zoneName } = this.#options;
    for (const key of this.#dirty) {
      const service = this.#services.get(parseKeyString(key));
      const slices = this.#slices.byIndex("service", key);
      const options = { zone: zoneName, ttlSeconds: zone.ttlSeconds };
      try {
        zone.setService(key, service && recordsOfService(service, slices, options), clock.now());
      } catch (error) {
        // One object that makes no valid name must not take the others' names away.
        if (!(error instanceof RangeError)) throw error;
        log.warn({ service: key, err: error }, "Service has no valid DNS name");
        zone.setService(key, undefined, clock.now());
      }
      if (key === kubeDns) {
        const ips = (service?.spec?.clusterIPs ?? []).filter((ip) => ip !== "" && ip !== "None");
        zone.setNameServers(ips.length > 0 ? ips : ownAddresses);
      }
    }
    this.#dirty.clear();
  }
}

function serviceOf(slice: EndpointSlice): string {
  return `${slice.metadata.namespace}/${slice.metadata.labels?.["kubernetes.io/service-name"] ?? ""}`;
}
