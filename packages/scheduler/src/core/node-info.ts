/**
 * One node with the sums over its pods. Plugins read it; only the cache, and preemption on a copy, change it.
 */
import type { Node } from "@knarr/api/generated/types/core-v1.ts";
import { type HostPort, hostPortsConflict } from "@knarr/scheduling/host-ports.ts";
import { amountsOf } from "@knarr/scheduling/resource-list.ts";
import type { PodInfo } from "./pod-info.ts";

const NO_SCALARS: ReadonlyMap<string, number> = new Map();

/** Amounts that are summed up and taken apart again, in place. */
export class Amounts {
  cpuMillis = 0;
  memoryBytes = 0;
  ephemeralBytes = 0;
  #scalars: Map<string, number> | undefined;

  /** Made when first needed: most nodes and pods have none. */
  get scalars(): ReadonlyMap<string, number> {
    return this.#scalars ?? NO_SCALARS;
  }

  of(resource: string): number {
    switch (resource) {
      case "cpu":
        return this.cpuMillis;
      case "memory":
        return this.memoryBytes;
      case "ephemeral-storage":
        return this.ephemeralBytes;
      default:
        return this.scalars.get(resource) ?? 0;
    }
  }

  add(other: PodInfo["requests"], sign: 1 | -1): void {
    this.cpuMillis += sign * other.cpuMillis;
    this.memoryBytes += sign * other.memoryBytes;
    this.ephemeralBytes += sign * other.ephemeralBytes;
    for (const [name, amount] of other.scalars) {
      this.setScalar(name, (this.scalars.get(name) ?? 0) + sign * amount);
    }
  }

  setScalar(name: string, amount: number): void {
    if (amount === 0) this.#scalars?.delete(name);
    else this.#scalars = (this.#scalars ?? new Map<string, number>()).set(name, amount);
  }

  clearScalars(): void {
    this.#scalars = undefined;
  }

  assign(other: Amounts): void {
    this.cpuMillis = other.cpuMillis;
    this.memoryBytes = other.memoryBytes;
    this.ephemeralBytes = other.ephemeralBytes;
    this.#scalars = other.scalars.size === 0 ? undefined : new Map(other.scalars);
  }
}

const NO_LABELS: Readonly<Record<string, string>> = {};
const NO_IMAGES: ReadonlyMap<string, number> = new Map();

export class NodeInfo {
  readonly name: string;
  /** Undefined while only pods name the node. */
  node: Node | undefined;
  labels: Readonly<Record<string, string>> = NO_LABELS;
  /** Image name to bytes. */
  images: ReadonlyMap<string, number> = NO_IMAGES;
  readonly allocatable = new Amounts();
  allowedPods = 0;
  readonly requested = new Amounts();
  /** As `requested`, where what is not asked for counts 100m and 200 MiB. For scoring only. */
  nonZeroCpuMillis = 0;
  nonZeroMemoryBytes = 0;
  readonly pods = new Map<string, PodInfo>();
  #claimUsers: Map<string, number> | undefined;
  #hostPorts: Map<string, HostPort[]> | undefined;

  constructor(name: string) {
    this.name = name;
  }

  /** Claims ("namespace/name") in use by pods here, with how many use each. */
  get claimUsers(): ReadonlyMap<string, number> {
    return this.#claimUsers ?? NO_SCALARS;
  }

  get hasHostPorts(): boolean {
    return this.#hostPorts !== undefined && this.#hostPorts.size > 0;
  }

  hostPortTaken(wanted: HostPort): boolean {
    return this.#hostPorts?.get(portKey(wanted))?.some((taken) => hostPortsConflict(taken, wanted)) ?? false;
  }

  setNode(node: Node | undefined): void {
    this.node = node;
    this.labels = node?.metadata.labels ?? NO_LABELS;
    const amounts = amountsOf(node?.status?.allocatable);
    const { allocatable } = this;
    allocatable.cpuMillis = amounts.get("cpu") ?? 0;
    allocatable.memoryBytes = amounts.get("memory") ?? 0;
    allocatable.ephemeralBytes = amounts.get("ephemeral-storage") ?? 0;
    this.allowedPods = amounts.get("pods") ?? 0;
    allocatable.clearScalars();
    for (const [name, amount] of amounts) {
      if (name !== "cpu" && name !== "memory" && name !== "ephemeral-storage" && name !== "pods") {
        allocatable.setScalar(name, amount);
      }
    }
    const images = node?.status?.images ?? [];
    this.images =
      images.length === 0
        ? NO_IMAGES
        : new Map(
            images.flatMap(({ names, sizeBytes }) => (names ?? []).map((name) => [name, sizeBytes ?? 0] as const)),
          );
  }

  addPod(info: PodInfo): void {
    const old = this.pods.get(info.id);
    if (old !== undefined) this.removePod(old);
    this.pods.set(info.id, info);
    this.#count(info, 1);
    for (const port of info.hostPorts) {
      const key = portKey(port);
      this.#hostPorts ??= new Map();
      const ports = this.#hostPorts.get(key);
      if (ports === undefined) this.#hostPorts.set(key, [port]);
      else ports.push(port);
    }
  }

  removePod(info: PodInfo): void {
    const present = this.pods.get(info.id);
    if (present === undefined) return;
    this.pods.delete(info.id);
    this.#count(present, -1);
    for (const port of present.hostPorts) {
      const key = portKey(port);
      const left = this.#hostPorts?.get(key)?.filter((other) => other !== port) ?? [];
      if (left.length === 0) this.#hostPorts?.delete(key);
      else this.#hostPorts?.set(key, left);
    }
  }

  /** A copy whose pods can be taken away and put back without anyone noticing. */
  clone(): NodeInfo {
    const copy = new NodeInfo(this.name);
    copy.node = this.node;
    copy.labels = this.labels;
    copy.images = this.images;
    copy.allocatable.assign(this.allocatable);
    copy.allowedPods = this.allowedPods;
    for (const info of this.pods.values()) copy.addPod(info);
    return copy;
  }

  #count(info: PodInfo, sign: 1 | -1): void {
    this.requested.add(info.requests, sign);
    this.nonZeroCpuMillis += sign * info.nonZeroCpuMillis;
    this.nonZeroMemoryBytes += sign * info.nonZeroMemoryBytes;
    for (const claim of info.claims) {
      const key = `${info.namespace}/${claim}`;
      this.#claimUsers ??= new Map();
      const users = (this.#claimUsers.get(key) ?? 0) + sign;
      if (users > 0) this.#claimUsers.set(key, users);
      else this.#claimUsers.delete(key);
    }
  }
}

function portKey(port: HostPort): string {
  return `${port.protocol}/${port.port}`;
}
