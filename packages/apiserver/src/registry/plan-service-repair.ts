/**
 * What is wrong between the Services and the marks of their addresses and ports, and what to do about it. Pure.
 *
 *   in use, not marked                        -> mark
 *   marked for A, used by B                   -> mark for B, unless A uses it too: then B is told
 *   marked by us, old enough, used by nobody  -> free       (ports: seen unused so many rounds in a row)
 *
 * An IPAddress that somebody made to keep an address for himself is never touched.
 * Source: k8s.io/kubernetes/pkg/registry/core/service: ipallocator/controller/repairip.go, portallocator/controller/repair.go
 */
import type { Service } from "@knarr/api/generated/types/core-v1.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { type Cidr, cidrContains, formatCidr, parseIp } from "./cidr.ts";
import { type AddressMark, MIN_LEAK_AGE_MS } from "./cluster-ips.ts";
import type { PortRange } from "./node-ports.ts";
import { portsOf } from "./services.ts";

export type StoredService = Service & KubeObject;

/** What a Service is told by an event. */
export interface RepairEvent {
  readonly service: StoredService;
  readonly reason: string;
  readonly message: string;
}

/** An address and the Service ("namespace/name") that it is to be marked for. */
export interface AddressUse {
  readonly address: string;
  readonly owner: string;
}

/** To be told when the correction was made: a Service written while all was read looks wrong and is not. */
interface Told {
  readonly event: RepairEvent;
}

/** `revision`: of the mark that is wrong. */
interface Marked {
  readonly revision: number;
}

export interface ServiceRepair {
  readonly mark: readonly (AddressUse & Told)[];
  readonly reassign: readonly (AddressUse & Marked & Told)[];
  readonly free: readonly (AddressUse & Marked)[];
  readonly markPorts: ReadonlyMap<number, RepairEvent>;
  readonly freePorts: ReadonlySet<number>;
  /** Ports that were marked and unused, with the rounds in a row. */
  readonly unusedPorts: ReadonlyMap<number, number>;
  /** What only whoever wrote the Service can put right. */
  readonly events: readonly RepairEvent[];
}

export interface RepairView {
  readonly services: readonly StoredService[];
  readonly addresses: ReadonlyMap<string, AddressMark>;
  readonly ports: ReadonlySet<number>;
  readonly cidr: Cidr;
  readonly range: PortRange;
  readonly nowMs: number;
  /** Of the round before. */
  readonly unusedPorts: ReadonlyMap<number, number>;
}

/** A port has no age: a write that runs has taken it for a moment, a leak is there round after round. Source: as above */
const ROUNDS_BEFORE_FREEING = 3;

export function planServiceRepair(view: RepairView): ServiceRepair {
  const events: RepairEvent[] = [];
  const addresses = planAddresses(view, events);
  const ports = planPorts(view, events);
  return { ...addresses, ...ports, events };
}

function planAddresses(view: RepairView, events: RepairEvent[]): Pick<ServiceRepair, "mark" | "reassign" | "free"> {
  const users = usersOfAddresses(view, events);
  const mark: (AddressUse & Told)[] = [];
  const reassign: (AddressUse & Marked & Told)[] = [];
  const family = view.cidr.family;
  for (const [address, services] of users) {
    const known = view.addresses.get(address);
    const rightful = services.find((service) => known?.owner === nameOf(service)) ?? services[0];
    if (rightful === undefined) continue;
    const owner = nameOf(rightful);
    if (known === undefined) {
      const message = `Cluster IP [${family}]: ${address} is not allocated; repairing`;
      mark.push({ address, owner, event: { service: rightful, reason: "ClusterIPNotAllocated", message } });
    } else if (known.owner !== owner && known.isOurs) {
      const message = `the ClusterIP [${family}]: ${address} for Service ${owner} has a wrong reference; repairing`;
      const event = { service: rightful, reason: "ClusterIPNotAllocated", message };
      reassign.push({ address, owner, revision: known.revision, event });
    }
    for (const service of services) {
      if (service === rightful) continue;
      const message = `Cluster IP [${family}]:${address} was assigned to multiple services; please recreate service`;
      events.push({ service, reason: "ClusterIPAlreadyAllocated", message });
    }
  }
  const free = [...view.addresses]
    .filter(([address, known]) => known.isOurs && !users.has(address) && isInside(view, address))
    .filter(([, { createdMs }]) => view.nowMs - createdMs >= MIN_LEAK_AGE_MS)
    .map(([address, { owner, revision }]) => ({ address, owner, revision }));
  return { mark, reassign, free };
}

function usersOfAddresses(view: RepairView, events: RepairEvent[]): ReadonlyMap<string, StoredService[]> {
  const users = new Map<string, StoredService[]>();
  for (const service of view.services) {
    for (const address of service.spec?.clusterIPs ?? []) {
      if (address === "None" || address === "") continue;
      if (!isInside(view, address)) {
        const block = formatCidr(view.cidr);
        const message = `Cluster IP [${view.cidr.family}]:${address} is not within the service CIDR ${block}; please recreate service`;
        events.push({ service, reason: "ClusterIPOutOfRange", message });
        continue;
      }
      const known = users.get(address);
      if (known === undefined) users.set(address, [service]);
      else known.push(service);
    }
  }
  return users;
}

function planPorts(
  view: RepairView,
  events: RepairEvent[],
): Pick<ServiceRepair, "markPorts" | "freePorts" | "unusedPorts"> {
  const { min, max } = view.range;
  const used = new Set<number>();
  const markPorts = new Map<number, RepairEvent>();
  for (const service of view.services) {
    if (service.spec === undefined) continue;
    const tell = (reason: string, message: string) => events.push({ service, reason, message });
    for (const port of portsOf(service.spec)) {
      if (port < min || port > max) {
        tell("PortOutOfRange", `Port ${port} is not within the port range ${min}-${max}; please recreate service`);
      } else if (used.has(port)) {
        tell("PortAlreadyAllocated", `Port ${port} was assigned to multiple services; please recreate service`);
      } else if (!view.ports.has(port)) {
        const message = `Port ${port} is not allocated; repairing`;
        markPorts.set(port, { service, reason: "PortNotAllocated", message });
      }
      used.add(port);
    }
  }
  const unusedPorts = new Map<number, number>();
  const freePorts = new Set<number>();
  for (const port of view.ports) {
    if (used.has(port)) continue;
    const rounds = (view.unusedPorts.get(port) ?? 0) + 1;
    if (rounds > ROUNDS_BEFORE_FREEING) freePorts.add(port);
    else unusedPorts.set(port, rounds);
  }
  return { markPorts, freePorts, unusedPorts };
}

function isInside({ cidr }: RepairView, text: string): boolean {
  const address = parseIp(text);
  return address !== undefined && cidrContains(cidr, address);
}

function nameOf({ metadata }: StoredService): string {
  return `${metadata.namespace ?? ""}/${metadata.name ?? ""}`;
}
