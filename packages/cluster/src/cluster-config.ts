/**
 * What one local cluster is: names, addresses, ports, nodes. Chosen once by `knarr up`, kept in <data-dir>/cluster.json,
 * so that everything after it finds what was made. Pure.
 *
 * Every name of a link, namespace, chain or cgroup derives from the cluster's name, and every range from its index, so
 * that clusters with different data directories stand side by side.
 */
export interface NodeConfig {
  readonly name: string;
  readonly ip: string;
  /** Network namespace, at /run/netns/<netns>. */
  readonly netns: string;
  /** Host end of the node's veth pair. */
  readonly link: string;
}

export interface ClusterConfig {
  readonly version: 1;
  readonly name: string;
  readonly dataDir: string;
  readonly bridge: string;
  /** "172.30.0.0/24"; the host is .1, node N is .10+N. */
  readonly nodeSubnet: string;
  readonly hostIp: string;
  readonly podCidr: string;
  readonly serviceCidr: string;
  readonly kubernetesServiceIp: string;
  readonly dnsServiceIp: string;
  readonly clusterDomain: string;
  readonly ports: {
    readonly apiserver: number;
    readonly etcdClient: number;
    readonly etcdPeer: number;
    readonly etcdMetrics: number;
    readonly controllerManager: number;
    readonly scheduler: number;
    readonly dnsHealth: number;
    readonly dnsMetrics: number;
  };
  readonly nodes: readonly NodeConfig[];
}

export interface ClusterChoice {
  readonly name: string;
  readonly dataDir: string;
  /** 0 for the first cluster of a machine. Ranges and ports are shifted by it. */
  readonly index: number;
  readonly nodeCount: number;
}

/** A machine holds at most so many clusters side by side. */
export const MAX_CLUSTERS = 10;
export const MAX_NODES = 100;

/** Names of network links have at most 15 characters. */
const MAX_LINK_NAME = 15;

export function nodeSubnetOf(index: number): string {
  return `172.30.${index}.0/24`;
}
export function podCidrOf(index: number): string {
  return `10.${244 + index}.0.0/16`;
}

/** Short and still telling: the cluster's name where it fits, else its beginning and a checksum of the whole. */
export function linkName(name: string, suffix: string): string {
  const plain = `${name}${suffix}`;
  if (plain.length <= MAX_LINK_NAME) return plain;
  let hash = 0;
  for (const char of name) hash = (Math.imul(hash, 31) + (char.codePointAt(0) ?? 0)) >>> 0;
  const sum = hash.toString(36).padStart(4, "0").slice(-4);
  return `${name.slice(0, MAX_LINK_NAME - suffix.length - 4)}${sum}${suffix}`;
}

export function planCluster({ name, dataDir, index, nodeCount }: ClusterChoice): ClusterConfig {
  const base = `172.30.${index}`;
  return {
    version: 1,
    name,
    dataDir,
    bridge: linkName(name, "0"),
    nodeSubnet: nodeSubnetOf(index),
    hostIp: `${base}.1`,
    podCidr: podCidrOf(index),
    serviceCidr: "10.96.0.0/12",
    kubernetesServiceIp: "10.96.0.1",
    dnsServiceIp: "10.96.0.10",
    clusterDomain: "cluster.local",
    ports: {
      apiserver: 6443 + index,
      etcdClient: 2379 + 10 * index,
      etcdPeer: 2380 + 10 * index,
      etcdMetrics: 2381 + 10 * index,
      controllerManager: 10_257 + 100 * index,
      scheduler: 10_259 + 100 * index,
      dnsHealth: 8080 + 100 * index,
      dnsMetrics: 9153 + 100 * index,
    },
    nodes: planNodes(name, base, nodeCount),
  };
}

function planNodes(name: string, base: string, count: number): NodeConfig[] {
  return Array.from({ length: count }, (_, i) => ({
    name: `node-${i + 1}`,
    ip: `${base}.${11 + i}`,
    netns: `${name}-node-${i + 1}`,
    link: linkName(name, `n${i + 1}`),
  }));
}

/** The same cluster with another number of nodes; existing ones keep their places. */
export function withNodeCount(config: ClusterConfig, count: number): ClusterConfig {
  const base = config.hostIp.split(".").slice(0, 3).join(".");
  return { ...config, nodes: planNodes(config.name, base, count) };
}
