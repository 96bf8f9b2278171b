/**
 * Finds what crashes left between Services and their addresses and ports: marks what is in use, frees what nobody uses.
 * A leak is freed only when two rounds in a row have seen it and it is older than any write that could still be running.
 * Source: k8s.io/kubernetes/pkg/registry/core/service/{ipallocator,portallocator}/controller
 */
import type { Service } from "@knarr/api/generated/types/core-v1.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import type { ResourceStorage } from "../storage/types.ts";
import type { ClusterIps } from "./cluster-ips.ts";
import type { NodePorts } from "./node-ports.ts";
import { portsOf } from "./services.ts";

const INTERVAL_MS = 180_000;
const RETRY_MS = 5_000;
/** Longer than any request may take. */
const MIN_AGE_MS = 120_000;

export interface RepairOptions {
  readonly services: ResourceStorage;
  readonly ips: ClusterIps;
  readonly ports: NodePorts;
  readonly clock: Clock;
  readonly log: Logger;
}

export async function runServiceRepair(options: RepairOptions, signal: AbortSignal): Promise<void> {
  let suspects: ReadonlySet<number> = new Set();
  while (!signal.aborted) {
    let waitMs = INTERVAL_MS;
    try {
      suspects = await repairOnce(options, suspects);
    } catch (error) {
      // The store may be away for a while: the next round does the same work.
      options.log.warn({ err: error }, "service repair round failed");
      waitMs = RETRY_MS;
    }
    await options.clock.sleep(waitMs, signal);
  }
}

/** One round; returns the ports that look leaked, for the next one. */
export async function repairOnce(options: RepairOptions, suspects: ReadonlySet<number>): Promise<ReadonlySet<number>> {
  const { services, ips, ports, clock, log } = options;
  // Taken first, used second: a Service made in between is in the second reading.
  const takenPorts = await ports.taken();
  const takenIps = await ips.list();
  const page = await services.list({});
  const usedPorts = new Set<number>();
  const usedIps = new Map<string, string>();
  for (const item of page.items) {
    const { spec } = JSON.parse(item.bytes.toString()) as Service;
    if (spec === undefined) continue;
    for (const port of portsOf(spec)) usedPorts.add(port);
    for (const ip of spec.clusterIPs ?? [])
      if (ips.contains(ip)) usedIps.set(ip, `${item.key.namespace}/${item.key.name}`);
  }
  for (const [ip, owner] of usedIps) {
    if (takenIps.has(ip)) continue;
    const [namespace = "", name = ""] = owner.split("/");
    log.warn({ ip, service: owner }, "service address was not marked as taken");
    await ips.take(ip, { namespace, name });
  }
  for (const [ip, { owner, createdMs }] of takenIps) {
    if (usedIps.get(ip) === owner || !ips.contains(ip) || clock.now() - createdMs < MIN_AGE_MS) continue;
    const [namespace = "", name = ""] = owner.split("/");
    log.warn({ ip, service: owner }, "freeing a leaked service address");
    await ips.release(ip, { namespace, name });
  }
  const looksLeaked = new Set([...takenPorts].filter((port) => !usedPorts.has(port)));
  const leaked = new Set([...looksLeaked].filter((port) => suspects.has(port)));
  const unmarked = new Set([...usedPorts].filter((port) => !takenPorts.has(port)));
  if (leaked.size > 0 || unmarked.size > 0) {
    log.warn({ leaked: [...leaked], unmarked: [...unmarked] }, "correcting node ports");
    await ports.correct(unmarked, leaked);
  }
  return looksLeaked;
}
