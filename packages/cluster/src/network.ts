/**
 * The local cluster's network: a bridge on the host, a network namespace per node, a veth pair between them.
 *
 *   host ── knarr0 172.30.0.1 ──┬── knarrn1 ~ eth0 172.30.0.11  (netns knarr-node-1)
 *                               └── knarrn2 ~ eth0 172.30.0.12  (netns knarr-node-2)
 *
 * What leaves the node subnet is masqueraded by the host. Rules stand in chains of the cluster's own, so that removing
 * the chains removes everything. Applying twice changes nothing.
 */
import { readFile, writeFile } from "node:fs/promises";
import { type ClusterConfig, type NodeConfig, shortened } from "./cluster-config.ts";
import { runCommand, tryCommand } from "./run-command.ts";

/** Names of iptables chains have at most 28 characters. */
export function chainName(clusterName: string, purpose: "MASQ" | "FWD"): string {
  return `KNARR-UP-${shortened(clusterName, 14).toUpperCase()}-${purpose}`;
}

/** Routes that the host keeps to the nodes' pods bear this protocol number, and no others do. */
export const ROUTE_PROTOCOL = 76;

export async function applyHostNetwork(config: ClusterConfig): Promise<void> {
  const { bridge, hostIp } = config;
  if ((await tryCommand(["ip", "link", "show", bridge])) === undefined) {
    await runCommand(["ip", "link", "add", bridge, "type", "bridge"]);
  }
  await runCommand(["ip", "address", "replace", `${hostIp}/24`, "dev", bridge]);
  await runCommand(["ip", "link", "set", bridge, "up"]);
  await enableForwarding();
  await applyRules(config);
  for (const node of config.nodes) await applyNode(config, node);
}

async function enableForwarding(): Promise<void> {
  const path = "/proc/sys/net/ipv4/ip_forward";
  if ((await readFile(path, "utf8")).trim() !== "1") await writeFile(path, "1");
}

/** The rules of both chains, and the jumps to them. */
export function planRules(config: ClusterConfig): {
  readonly table: string;
  readonly chain: string;
  readonly parent: string;
  readonly rules: readonly (readonly string[])[];
}[] {
  const { nodeSubnet, bridge, podCidr } = config;
  return [
    {
      table: "nat",
      chain: chainName(config.name, "MASQ"),
      parent: "POSTROUTING",
      rules: [
        ["-s", nodeSubnet, "-d", nodeSubnet, "-j", "RETURN"],
        ["-s", nodeSubnet, "-d", podCidr, "-j", "RETURN"],
        ["-s", nodeSubnet, "!", "-o", bridge, "-j", "MASQUERADE"],
      ],
    },
    {
      table: "filter",
      chain: chainName(config.name, "FWD"),
      parent: "FORWARD",
      rules: [
        ["-i", bridge, "-j", "ACCEPT"],
        ["-o", bridge, "-j", "ACCEPT"],
      ],
    },
  ];
}

async function applyRules(config: ClusterConfig): Promise<void> {
  for (const { table, chain, parent, rules } of planRules(config)) {
    const lines = [
      `*${table}`,
      `:${chain} - [0:0]`,
      ...rules.map((rule) => `-A ${chain} ${rule.join(" ")}`),
      "COMMIT",
      "",
    ];
    await runCommand(["iptables-restore", "-w", "5", "--noflush"], { input: lines.join("\n") });
    if ((await tryCommand(["iptables", "-w", "5", "-t", table, "-C", parent, "-j", chain])) === undefined) {
      await runCommand(["iptables", "-w", "5", "-t", table, "-I", parent, "1", "-j", chain]);
    }
  }
}

/** Namespaces that exist, by name. */
async function namespaces(): Promise<ReadonlySet<string>> {
  const text = await runCommand(["ip", "netns", "list"]);
  return new Set(text.split("\n").map((line) => line.split(" ")[0] ?? ""));
}

export async function applyNode(config: ClusterConfig, node: NodeConfig): Promise<void> {
  if (!(await namespaces()).has(node.netns)) await runCommand(["ip", "netns", "add", node.netns]);
  const inside = (...args: string[]) => runCommand(["ip", "-n", node.netns, ...args]);
  await inside("link", "set", "lo", "up");
  if ((await tryCommand(["ip", "-n", node.netns, "link", "show", "eth0"])) === undefined) {
    // A host end without its peer is left from a namespace that died.
    await tryCommand(["ip", "link", "delete", node.link]);
    await runCommand(["ip", "link", "add", node.link, "type", "veth", "peer", "name", "eth0", "netns", node.netns]);
  }
  await runCommand(["ip", "link", "set", node.link, "master", config.bridge, "up"]);
  await inside("address", "replace", `${node.ip}/24`, "dev", "eth0");
  await inside("link", "set", "eth0", "up");
  await inside("route", "replace", "default", "via", config.hostIp);
}

/** Takes away all that `applyHostNetwork` made; what is not there is no error. */
export async function removeHostNetwork(config: ClusterConfig): Promise<void> {
  await tryCommand(["ip", "route", "flush", "proto", String(ROUTE_PROTOCOL), "dev", config.bridge]);
  for (const node of config.nodes) await removeNodeNetwork(node);
  await tryCommand(["ip", "link", "delete", config.bridge]);
  for (const { table, chain, parent } of planRules(config)) {
    await tryCommand(["iptables", "-w", "5", "-t", table, "-D", parent, "-j", chain]);
    await tryCommand(["iptables", "-w", "5", "-t", table, "-F", chain]);
    await tryCommand(["iptables", "-w", "5", "-t", table, "-X", chain]);
  }
}

/** A node's veth pair and namespace. */
export async function removeNodeNetwork(node: NodeConfig): Promise<void> {
  await tryCommand(["ip", "link", "delete", node.link]);
  if ((await namespaces()).has(node.netns)) await runCommand(["ip", "netns", "delete", node.netns]);
}

/** Ranges that this host has routes to, those through `exceptLink` left out: what a new cluster must not take. */
export async function usedSubnets(exceptLink?: string): Promise<readonly string[]> {
  const routes = await runCommand(["ip", "-4", "route", "show", "table", "all"]);
  return routes.split("\n").flatMap((line) => {
    if (exceptLink !== undefined && line.includes(` dev ${exceptLink} `)) return [];
    return /^(?:\w+ )?(\d+\.\d+\.\d+\.\d+(?:\/\d+)?) /.exec(line)?.[1] ?? [];
  });
}

/** Starts `command` in the node's network and in a UTS namespace with the node's host name; replaces itself, so pids stay. */
export function insideNode(node: NodeConfig, command: readonly string[]): string[] {
  return [
    "nsenter",
    `--net=/run/netns/${node.netns}`,
    "unshare",
    "--uts",
    "sh",
    "-c",
    'hostname "$0" && exec "$@"',
    node.name,
    ...command,
  ];
}
