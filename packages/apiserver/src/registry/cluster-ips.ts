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

  /** Takes this address for the Service; false when another has it. Taking one's own again is true. */
  async take(address: string, service: ObjectKey): Promise<boolean> {
    try {
      await this.#storage.create({ namespace: "", name: address }, this.#encode(address, service));
      return true;
    } catch (error) {
      if (isAlreadyExists(error)) return (await this.ownerOf(address)) === ownerText(service);
      throw error;
    }
  }

  /** Takes any free address; undefined when the block is full. */
  async takeAny(service: ObjectKey): Promise<string | undefined> {
    const { first, band, size } = this.#layout();
    const dynamic = size - band;
    if (dynamic > 0) {
      for (let i = 0; i < RANDOM_TRIES; i += 1) {
        const address = addressAt(this.cidr, BigInt(first + band + randomInt(dynamic)));
        if (await this.#takeNew(address, service)) return address;
      }
    }
    const taken = await this.#takenAddresses();
    for (let i = 0; i < size; i += 1) {
      const address = addressAt(this.cidr, BigInt(first + ((band + i) % size)));
      if (!taken.has(address) && (await this.#takeNew(address, service))) return address;
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

  /** Gives an address back, if this Service holds it; idempotent. */
  async release(address: string, service: ObjectKey): Promise<void> {
    const name = { namespace: "", name: address };
    try {
      await this.#storage.update(name, (current) => {
        if (current === undefined) return { kind: "keep" };
        const object = JSON.parse(current.bytes.toString()) as IPAddress;
        return ownerIn(object) === ownerText(service) ? { kind: "delete" } : { kind: "keep" };
      });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  /** "namespace/name" of the Service that holds the address. */
  async ownerOf(address: string): Promise<string | undefined> {
    try {
      const stored = await this.#storage.get({ namespace: "", name: address });
      return ownerIn(JSON.parse(stored.bytes.toString()) as IPAddress);
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  /** Every address that is taken, with its owner. */
  async list(): Promise<ReadonlyMap<string, { owner: string; createdMs: number }>> {
    const page = await this.#storage.list({});
    return new Map(
      page.items.map((item) => {
        const object = JSON.parse(item.bytes.toString()) as IPAddress;
        const createdMs = Date.parse(object.metadata?.creationTimestamp ?? "");
        return [item.key.name, { owner: ownerIn(object), createdMs: Number.isNaN(createdMs) ? 0 : createdMs }];
      }),
    );
  }

  async #takeNew(address: string, service: ObjectKey): Promise<boolean> {
    try {
      await this.#storage.create({ namespace: "", name: address }, this.#encode(address, service));
      return true;
    } catch (error) {
      if (isAlreadyExists(error)) return false;
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

function ownerIn(object: IPAddress): string {
  const ref = object.spec?.parentRef;
  return `${ref?.namespace ?? ""}/${ref?.name ?? ""}`;
}
