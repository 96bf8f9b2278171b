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

/** What runs the nodes' containers. */
export const nodeRuntimes = ["containerd", "docker"] as const;
export type NodeRuntime = (typeof nodeRuntimes)[number];

export interface ClusterConfig {
  readonly version: 1;
  readonly runtime: NodeRuntime;
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
  /** containerd when absent. */
  readonly runtime?: NodeRuntime;
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
  return `${shortened(name, MAX_LINK_NAME - suffix.length)}${suffix}`;
}

/** `text`, or its beginning with four characters of a checksum of the whole where it is longer than `length`. */
export function shortened(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - CHECKSUM_LENGTH)}${checksum(text)}`;
}

const CHECKSUM_LENGTH = 4;
function checksum(text: string): string {
  let hash = 0;
  for (const char of text) hash = (Math.imul(hash, 31) + (char.codePointAt(0) ?? 0)) >>> 0;
  return hash.toString(36).padStart(CHECKSUM_LENGTH, "0").slice(-CHECKSUM_LENGTH);
}

/** Where data directories usually lie: the last part of their path is telling enough. */
const USUAL_PARENT = "/var/lib/";
const MAX_CLUSTER_NAME = 40;

/**
 * A cluster's name, from its data directory: /var/lib/knarr is "knarr". Elsewhere a checksum of the path is added, since
 * /home/ann/knarr and /home/bob/knarr are two clusters, and everything on the machine is named after them.
 */
export function clusterNameOf(dataDir: string): string {
  const last = dataDir.split("/").findLast((part) => part !== "") ?? "";
  const plain = last
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-|-$/g, "");
  const base = shortened(plain === "" ? "knarr" : plain, MAX_CLUSTER_NAME);
  return dataDir === `${USUAL_PARENT}${plain}` ? base : `${base}-${checksum(dataDir)}`;
}

/** Whether two IPv4 ranges (or addresses, as ranges of one) share an address. */
export function rangesOverlap(a: string, b: string): boolean {
  const [first, second] = [parseRange(a), parseRange(b)];
  return first.start <= second.end && second.start <= first.end;
}

function parseRange(text: string): { readonly start: number; readonly end: number } {
  const [address = "", prefix = "32"] = text.split("/");
  const value = address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
  const size = 2 ** (32 - Number(prefix));
  const start = Math.floor(value / size) * size;
  return { start, end: start + size - 1 };
}

export function planCluster({ name, dataDir, index, nodeCount, runtime = "containerd" }: ClusterChoice): ClusterConfig {
  const base = `172.30.${index}`;
  return {
    version: 1,
    runtime,
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
    nodes: Array.from({ length: nodeCount }, (_, i) => planNode(name, base, i + 1)),
  };
}

function planNode(clusterName: string, base: string, number: number): NodeConfig {
  return {
    name: `node-${number}`,
    ip: `${base}.${10 + number}`,
    netns: `${clusterName}-node-${number}`,
    link: linkName(clusterName, `n${number}`),
  };
}

/** The same cluster with `count` nodes: those there are keep their places, new ones take the lowest free numbers. */
export function withNodeCount(config: ClusterConfig, count: number): ClusterConfig {
  const base = config.hostIp.split(".").slice(0, 3).join(".");
  const nodes = [...config.nodes];
  const names = new Set(nodes.map(({ name }) => name));
  for (let number = 1; nodes.length < count; number++) {
    if (!names.has(`node-${number}`)) nodes.push(planNode(config.name, base, number));
  }
  return { ...config, nodes };
}

export function withoutNode(config: ClusterConfig, name: string): ClusterConfig {
  return { ...config, nodes: config.nodes.filter((node) => node.name !== name) };
}
