/**
 * What on this machine stands in a cluster's way: ports that something else listens on, ranges that go elsewhere. Found
 * before anything is made, since a daemon that can't listen says so only in its log.
 */
import { join } from "node:path";
import type { ClusterConfig } from "./cluster-config.ts";
import { rangesOverlap } from "./cluster-config.ts";
import { isPortFree } from "./load-cluster.ts";
import { usedSubnets } from "./network.ts";
import type { ClusterPaths } from "./paths.ts";
import { readIdentity } from "./supervisor/component-process.ts";
import { isAlive } from "./supervisor/process-identity.ts";

/** The host's ports, by the component that listens on them. */
export function portsOf({ ports }: ClusterConfig): ReadonlyMap<string, readonly number[]> {
  return new Map([
    ["etcd", [ports.etcdClient, ports.etcdPeer, ports.etcdMetrics]],
    ["apiserver", [ports.apiserver]],
    ["controller-manager", [ports.controllerManager]],
    ["scheduler", [ports.scheduler]],
    ["cluster-dns", [ports.dnsHealth, ports.dnsMetrics]],
  ]);
}

/** One sentence per conflict; none when the cluster can come up here. A component of ours that runs is no conflict. */
export async function findConflicts(config: ClusterConfig, paths: ClusterPaths): Promise<string[]> {
  const conflicts: string[] = [];
  for (const [component, ports] of portsOf(config)) {
    const identity = await readIdentity(join(paths.run, `${component}.json`));
    if (identity !== undefined && (await isAlive(identity))) continue;
    for (const port of ports) {
      if (!(await isPortFree(port))) conflicts.push(`port ${port}, wanted by ${component}, is in use`);
    }
  }
  const elsewhere = await usedSubnets(config.bridge);
  for (const range of [config.nodeSubnet, config.podCidr]) {
    const taken = elsewhere.find((route) => rangesOverlap(route, range));
    if (taken !== undefined) conflicts.push(`the range ${range} overlaps with this host's route to ${taken}`);
  }
  return conflicts;
}
