/**
 * Which Service addresses are taken: an IPAddress object each, named after the address. Creating the object takes the
 * address, so two servers never hand out the same one.
 * Source: k8s.io/kubernetes/pkg/registry/core/service/ipallocator (IPAddress objects); KEP-1880, KEP-3070
 */
import { randomInt, randomUUID } from "node:crypto";
import type { IPAddress } from "@knarr/api/generated/types/networking-v1.ts";
import type { ObjectKey } from "@knarr/apimachinery/resource.ts";
import { isAlreadyExists, isNotFound } from "@knarr/apimachinery/status-error.ts";
import { rfc3339Seconds } from "@knarr/apimachinery/time.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { ResourceStorage } from "../storage/types.ts";
import { addressAt, type Cidr, cidrContains, parseIp } from "./cidr.ts";

const MANAGED_BY = "ipallocator.k8s.io";
/** A mark older than any request may take belongs to none that still runs. */
export const MIN_LEAK_AGE_MS = 120_000;
/** Addresses tried at random before the block is searched in order. */
const RANDOM_TRIES = 64;

export class ClusterIps {
  readonly cidr: Cidr;
  readonly #storage: ResourceStorage;
  readonly #clock: Clock;

  constructor(cidr: Cidr, storage: ResourceStorage, clock: Clock) {
    this.cidr = cidr;
    this.#storage = storage;
    this.#clock = clock;
  }

  contains(text: string): boolean {
    const address = parseIp(text);
    return address !== undefined && cidrContains(this.cidr, address);
  }

  /** Takes this address for the Service; false when it is taken, be it by the Service itself. */
  async take(address: string, service: ObjectKey): Promise<boolean> {
    try {
      await this.#storage.create({ namespace: "", name: address }, this.#encode(address, service));
      return true;
    } catch (error) {
      if (isAlreadyExists(error)) return false;
      throw error;
    }
  }

  /**
   * Takes over what a write that came to nothing left marked for the Service. The mark is written anew, so that whoever means the old one
   * (a late release, the repair loop) leaves it alone. False when it is another's, or so young that a write may still mean it, unless `atOnce`.
   */
  async adopt(address: string, service: ObjectKey, { atOnce = false } = {}): Promise<boolean> {
    return await this.#rewrite(address, service, ({ owner, createdMs }) => {
      return owner === ownerText(service) && (atOnce || this.#clock.now() - createdMs >= MIN_LEAK_AGE_MS);
    });
  }

  /** Repair: marks the address for the Service instead of for whom it is marked, if it is as it was at `revision`. */
  async reassign(address: string, service: ObjectKey, revision: number): Promise<boolean> {
    return await this.#rewrite(address, service, (mark) => mark.revision === revision);
  }

  /** Takes any free address; undefined when the block is full. */
  async takeAny(service: ObjectKey): Promise<string | undefined> {
    const { first, band, size } = this.#layout();
    const dynamic = size - band;
    if (dynamic > 0) {
      for (let i = 0; i < RANDOM_TRIES; i += 1) {
        const address = addressAt(this.cidr, BigInt(first + band + randomInt(dynamic)));
        if (await this.take(address, service)) return address;
      }
    }
    const taken = await this.#takenAddresses();
    for (let i = 0; i < size; i += 1) {
      const address = addressAt(this.cidr, BigInt(first + ((band + i) % size)));
      if (!taken.has(address) && (await this.take(address, service))) return address;
    }
    return undefined;
  }

  /** An address that is free now, without taking it: what a dry run shows. */
  async anyFree(): Promise<string | undefined> {
    const { first, band, size } = this.#layout();
    const taken = await this.#takenAddresses();
    for (let i = 0; i < size; i += 1) {
      const address = addressAt(this.cidr, BigInt(first + ((band + i) % size)));
      if (!taken.has(address)) return address;
    }
    return undefined;
  }

  /**
   * Gives an address back, if this Service holds it; idempotent. `atMost`: the revision of its mark or any later one before which the
   * address was given up: what was marked after it is the Service's successor's of the same name.
   */
  async release(address: string, service: ObjectKey, { atMost = Infinity } = {}): Promise<void> {
    const name = { namespace: "", name: address };
    try {
      await this.#storage.update(name, (current) => {
        if (current === undefined || current.revision > atMost) return { kind: "keep" };
        return markOf(current).owner === ownerText(service) ? { kind: "delete" } : { kind: "keep" };
      });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  /** Who holds the address; undefined when nobody does. */
  async markOf(address: string): Promise<AddressMark | undefined> {
    try {
      return markOf(await this.#storage.get({ namespace: "", name: address }));
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  /** Every address that is taken, with its mark. */
  async list(): Promise<ReadonlyMap<string, AddressMark>> {
    const page = await this.#storage.list({});
    return new Map(page.items.map((item) => [item.key.name, markOf(item)]));
  }

  /** Writes the mark anew for the Service if `mayChange` says so of what is there. */
  async #rewrite(address: string, service: ObjectKey, mayChange: (mark: AddressMark) => boolean): Promise<boolean> {
    try {
      const { outcome } = await this.#storage.update({ namespace: "", name: address }, (current) => {
        if (current === undefined || !mayChange(markOf(current))) return { kind: "keep" };
        return { kind: "write", bytes: this.#encode(address, service) };
      });
      return outcome === "updated";
    } catch (error) {
      if (isNotFound(error)) return false;
      throw error;
    }
  }

  async #takenAddresses(): Promise<ReadonlySet<string>> {
    return new Set((await this.#storage.list({ resourceVersion: "0" })).items.map((item) => item.key.name));
  }

  /** Offsets: network and (IPv4) broadcast addresses are out, the lower band is for addresses asked for by number. */
  #layout(): { first: number; band: number; size: number } {
    const all = this.cidr.size > 65_536n * 16n ? 65_536 * 16 : Number(this.cidr.size);
    const size = Math.max(1, this.cidr.family === "IPv4" ? all - 2 : all - 1);
    // Source: KEP-3070: min(max(16, size/16), 256)
    const band = size < 16 ? 0 : Math.min(Math.max(16, Math.floor(size / 16)), 256);
    return { first: 1, band, size };
  }

  #encode(address: string, service: ObjectKey): Buffer {
    const object: IPAddress = {
      kind: "IPAddress",
      apiVersion: "networking.k8s.io/v1",
      metadata: {
        name: address,
        uid: randomUUID(),
        creationTimestamp: rfc3339Seconds(this.#clock.now()),
        labels: {
          "ipaddress.kubernetes.io/ip-family": this.cidr.family,
          "ipaddress.kubernetes.io/managed-by": MANAGED_BY,
        },
      },
      spec: { parentRef: { group: "", resource: "services", namespace: service.namespace, name: service.name } },
    };
    return Buffer.from(JSON.stringify(object));
  }
}

export function ownerText(service: ObjectKey): string {
  return `${service.namespace}/${service.name}`;
}

/** What an IPAddress says of its address. */
export interface AddressMark {
  /** "namespace/name" of the Service. */
  readonly owner: string;
  readonly createdMs: number;
  readonly revision: number;
  /** Made by the allocator, not by somebody who keeps an address for himself. */
  readonly isOurs: boolean;
}

function markOf(stored: { readonly bytes: Buffer; readonly revision: number }): AddressMark {
  const { metadata, spec } = JSON.parse(stored.bytes.toString()) as IPAddress;
  const ref = spec?.parentRef;
  const createdMs = Date.parse(metadata?.creationTimestamp ?? "");
  return {
    owner: `${ref?.namespace ?? ""}/${ref?.name ?? ""}`,
    createdMs: Number.isNaN(createdMs) ? 0 : createdMs,
    revision: stored.revision,
    isOurs: metadata?.labels?.["ipaddress.kubernetes.io/managed-by"] === MANAGED_BY,
  };
}
