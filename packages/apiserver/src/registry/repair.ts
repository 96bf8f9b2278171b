/**
 * Finds what crashes left between Services and their addresses and ports, and puts it right: plan-service-repair.ts says what.
 * A mark that changed since it was read is left alone: each correction is guarded.
 * Source: k8s.io/kubernetes/pkg/registry/core/service/{ipallocator,portallocator}/controller
 */
import type { ObjectKey } from "@knarr/apimachinery/resource.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import type { ResourceStorage } from "../storage/types.ts";
import type { ClusterIps } from "./cluster-ips.ts";
import type { NodePorts } from "./node-ports.ts";
import { planServiceRepair, type RepairEvent, type ServiceRepair, type StoredService } from "./plan-service-repair.ts";

const INTERVAL_MS = 180_000;
const RETRY_MS = 5_000;

export interface RepairOptions {
  readonly services: ResourceStorage;
  readonly ips: ClusterIps;
  readonly ports: NodePorts;
  readonly clock: Clock;
  readonly log: Logger;
  /** Tells of a finding at the Service. */
  readonly tell: (event: RepairEvent) => void;
}

/** Runs until the signal aborts; `onFirst` is called when the first round is done. */
export async function runServiceRepair(
  options: RepairOptions,
  onFirst: () => void,
  signal: AbortSignal,
): Promise<void> {
  let unused: ReadonlyMap<number, number> = new Map();
  while (!signal.aborted) {
    let waitMs = INTERVAL_MS;
    try {
      unused = await repairOnce(options, unused);
      onFirst();
    } catch (error) {
      // The store may be away for a while: the next round does the same work.
      options.log.warn({ err: error }, "service repair round failed");
      waitMs = RETRY_MS;
    }
    await options.clock.sleep(waitMs, signal);
  }
}

/** One round; returns the ports that were marked and unused, for the next one. */
export async function repairOnce(
  options: RepairOptions,
  unusedPorts: ReadonlyMap<number, number>,
): Promise<ReadonlyMap<number, number>> {
  const { services, ips, ports, clock } = options;
  // What is taken first, what is used second: a Service made in between is in the second reading.
  const takenPorts = await ports.taken();
  const addresses = await ips.list();
  const page = await services.list({});
  const plan = planServiceRepair({
    services: page.items.map((item) => JSON.parse(item.bytes.toString()) as StoredService),
    addresses,
    ports: takenPorts,
    cidr: ips.cidr,
    range: ports.range,
    nowMs: clock.now(),
    unusedPorts,
  });
  await apply(plan, options);
  return plan.unusedPorts;
}

async function apply(plan: ServiceRepair, { ips, ports, log, tell }: RepairOptions): Promise<void> {
  for (const { address, owner, event } of plan.mark) {
    if (!(await ips.take(address, keyOf(owner)))) continue;
    log.warn({ ip: address, service: owner }, "service address was not marked as taken");
    tell(event);
  }
  for (const { address, owner, revision, event } of plan.reassign) {
    if (!(await ips.reassign(address, keyOf(owner), revision))) continue;
    log.warn({ ip: address, service: owner }, "service address was marked for another");
    tell(event);
  }
  for (const { address, owner, revision } of plan.free) {
    log.warn({ ip: address, service: owner }, "freeing a leaked service address");
    await ips.release(address, keyOf(owner), { atMost: revision });
  }
  const { markPorts, freePorts } = plan;
  if (markPorts.size > 0 || freePorts.size > 0) {
    const marked = await ports.correct(new Set(markPorts.keys()), freePorts);
    for (const port of marked) {
      const event = markPorts.get(port);
      if (event !== undefined) tell(event);
    }
    if (freePorts.size > 0 || marked.length > 0) {
      log.warn({ leaked: [...freePorts], unmarked: marked }, "correcting node ports");
    }
  }
  for (const event of plan.events) tell(event);
}

function keyOf(owner: string): ObjectKey {
  const [namespace = "", name = ""] = owner.split("/");
  return { namespace, name };
}
