/**
 * A cluster of containers (docker-compose.yml): the same components as on one machine, reached by the names of their
 * services instead of by addresses. Everything lies in one volume, mounted at /var/lib/knarr in each container. Pure.
 */
import { type ClusterConfig, planCluster } from "../cluster-config.ts";
import type { ComponentSpec } from "../components.ts";

export const DATA_DIR = "/var/lib/knarr";
export const APISERVER_URL = "https://apiserver:6443";
export const ETCD_URL = "https://etcd:2379";
/** The proxy beside the API server, which serves the NodePorts that are published on the laptop. */
export const GATEWAY = "gateway";
/** The network interface that compose gives a container. */
const LINK = "eth0";

/** The cluster as a container with this address sees it. */
export function containerCluster(ip: string): ClusterConfig {
  const planned = planCluster({ name: "knarr", dataDir: DATA_DIR, index: 0, nodeCount: 0 });
  return { ...planned, hostIp: ip, bridge: LINK };
}

/** `knarr-node-2.knarr_default` (what the engine's DNS calls us) is node-2; undefined when it has no number. */
export function nodeNameFrom(hostNames: readonly string[]): string | undefined {
  for (const hostName of hostNames) {
    const number = /(?:^|[-_])node[-_](\d+)(?:\.|$)/.exec(hostName)?.[1];
    if (number !== undefined) return `node-${number}`;
  }
  return undefined;
}

/** The component with some of its flags set to other values, or added. */
export function withFlags(spec: ComponentSpec, flags: Readonly<Record<string, string>>): ComponentSpec {
  const names = Object.keys(flags);
  const kept = spec.command.filter((word) => !names.some((name) => word.startsWith(`--${name}=`)));
  return { ...spec, command: [...kept, ...names.map((name) => `--${name}=${flags[name]}`)] };
}
