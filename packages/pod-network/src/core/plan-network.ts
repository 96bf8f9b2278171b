/**
 * This node, its peers and its links -> everything that the node's network should be: CNI configuration, routes to the
 * other nodes' pods, tunnel entries, packet filter rules. Pure.
 *
 * A peer on a link of ours is reached by a direct route to its address. Any other is reached through VXLAN, whose
 * entries follow from the Node objects alone: the tunnel's hardware address is made of the node's IP, its inner address
 * is the first of the node's pod range, so nodes need not tell each other anything.
 */
import type { Node } from "@knarr/api/generated/types/core-v1.ts";
import { familyOf, formatPrefix, type IpFamily, parseIp, parsePrefix, prefixContains } from "@knarr/netfilter/ip.ts";
import type { Ruleset } from "@knarr/netfilter/ruleset.ts";
import { planRules } from "./plan-rules.ts";

export const VXLAN_DEVICE = "knarr-vxlan";
/** Source: RFC 7348; flannel's 8472 is the kernel's old default, which we leave to others. */
export const VXLAN_PORT = 4789;
export const VXLAN_ID = 4096;
/** Ethernet, IP, UDP and VXLAN headers around a packet. Source: RFC 7348 5 */
const VXLAN_OVERHEAD = { ipv4: 50, ipv6: 70 } as const;

/** A network interface of the node, as the kernel has it. */
export interface Link {
  readonly name: string;
  readonly mtu: number;
  /** "172.30.0.11/24": address and the length of its on-link prefix. */
  readonly addresses: readonly string[];
}

export interface NetworkOptions {
  /** The pods' ranges, at most one per family. */
  readonly clusterPrefixes: readonly string[];
  readonly bridge: string;
  /** 0: found from the link that has the node's address. */
  readonly mtu: number;
  readonly masquerade: boolean;
  readonly tunnel: "auto" | "never" | "always";
  readonly ipamDir: string;
  /** Whether the runtime has the standard bandwidth plugin, without which a pod could not be made at all. */
  readonly bandwidth: boolean;
}

export interface Route {
  readonly prefix: string;
  readonly via: string;
  /** Only for tunnelled routes: the device, to which the gateway counts as directly connected. */
  readonly device?: string;
}

export interface TunnelPeer {
  readonly hardwareAddress: string;
  readonly innerAddress: string;
  readonly nodeIp: string;
}

export interface Tunnel {
  readonly hardwareAddress: string;
  readonly localIp: string;
  /** One per family of the node's pods. */
  readonly innerAddresses: readonly string[];
  readonly mtu: number;
  readonly peers: readonly TunnelPeer[];
}

export interface NetworkPlan {
  readonly podPrefixes: readonly string[];
  readonly conflist: Readonly<Record<string, unknown>>;
  readonly routes: readonly Route[];
  /** Present when at least one peer needs it. */
  readonly tunnel: Tunnel | undefined;
  readonly rules: ReadonlyMap<IpFamily, Ruleset>;
  readonly mtu: number;
}

/** Why there is nothing to plan yet. */
export interface NotYet {
  readonly notYet: string;
}

export function planNetwork(
  own: Node | undefined,
  nodes: readonly Node[],
  links: readonly Link[],
  options: NetworkOptions,
): NetworkPlan | NotYet {
  if (own === undefined) return { notYet: "the Node of this machine does not exist" };
  const podPrefixes = podPrefixesOf(own);
  if (podPrefixes.length === 0) return { notYet: "the Node has no spec.podCIDR" };
  const peers = nodes.filter((node) => node.metadata.name !== own.metadata.name).flatMap(peerPrefixes);
  // The tunnel carries both families between addresses of one: IPv4 where this node has it.
  const outer: IpFamily = nodeIpOf(own, "ipv4") === undefined ? "ipv6" : "ipv4";
  const nodeIp = nodeIpOf(own, outer);
  const isTunnelled = (peer: PeerPrefix) =>
    peer.ips[outer] !== undefined &&
    (options.tunnel === "always" || (options.tunnel === "auto" && !isOnLink(links, directIp(peer))));
  const reachable = peers.filter((peer) => isTunnelled(peer) || directIp(peer) !== undefined);
  const tunnelled = reachable.filter(isTunnelled);
  const linkMtu = options.mtu > 0 ? options.mtu : linkMtuOf(links, own);
  const needsTunnel = tunnelled.length > 0 && nodeIp !== undefined;
  const mtu = needsTunnel && options.mtu === 0 ? linkMtu - VXLAN_OVERHEAD[outer] : linkMtu;
  return {
    podPrefixes,
    conflist: conflistOf(podPrefixes, mtu, options),
    routes: reachable.map((peer) =>
      isTunnelled(peer)
        ? { prefix: peer.prefix, via: firstAddress(peer.prefix), device: VXLAN_DEVICE }
        : { prefix: peer.prefix, via: directIp(peer) ?? "" },
    ),
    tunnel: needsTunnel ? planTunnel(nodeIp, podPrefixes, mtu, tunnelled) : undefined,
    rules: planRules({ clusterPrefixes: options.clusterPrefixes, podPrefixes, masquerade: options.masquerade }),
    mtu,
  };
}

interface PeerPrefix {
  readonly prefix: string;
  /** The node's own addresses. */
  readonly ips: Readonly<Partial<Record<IpFamily, string>>>;
}

function peerPrefixes(node: Node): PeerPrefix[] {
  const ipv4 = nodeIpOf(node, "ipv4");
  const ipv6 = nodeIpOf(node, "ipv6");
  const ips = { ...(ipv4 === undefined ? {} : { ipv4 }), ...(ipv6 === undefined ? {} : { ipv6 }) };
  return podPrefixesOf(node).map((prefix) => ({ prefix, ips }));
}

/** Where a direct route would lead: the node's address of the same family. Without one there is no route yet. */
function directIp({ prefix, ips }: PeerPrefix): string | undefined {
  return ips[familyOf(prefix)];
}

function podPrefixesOf(node: Node): string[] {
  const listed = node.spec?.podCIDRs ?? [];
  const all = listed.length > 0 ? listed : node.spec?.podCIDR === undefined ? [] : [node.spec.podCIDR];
  return all.map(parsePrefix).flatMap((prefix) => (prefix === undefined ? [] : [formatPrefix(prefix)]));
}

function nodeIpOf(node: Node, family: IpFamily): string | undefined {
  return node.status?.addresses?.find((a) => a.type === "InternalIP" && familyOf(a.address) === family)?.address;
}

function isOnLink(links: readonly Link[], address: string | undefined): boolean {
  if (address === undefined) return false;
  return links.some((link) => link.addresses.some((own) => prefixContains(own, address)));
}

/** Of the link that carries the node's address; 1500 when none does. */
function linkMtuOf(links: readonly Link[], own: Node): number {
  const ips = (own.status?.addresses ?? []).filter((a) => a.type === "InternalIP").map((a) => a.address);
  const link = links.find((l) => l.addresses.some((address) => ips.includes(address.replace(/\/.*$/, ""))));
  return link?.mtu ?? 1500;
}

function firstAddress(prefix: string): string {
  return prefix.replace(/\/.*$/, "");
}

function planTunnel(nodeIp: string, podPrefixes: readonly string[], mtu: number, peers: readonly PeerPrefix[]): Tunnel {
  return {
    hardwareAddress: hardwareAddressOf(nodeIp),
    localIp: nodeIp,
    innerAddresses: podPrefixes.map(firstAddress),
    mtu,
    peers: peers.map(({ prefix, ips }) => {
      const peerIp = ips[familyOf(nodeIp)] ?? "";
      return { hardwareAddress: hardwareAddressOf(peerIp), innerAddress: firstAddress(prefix), nodeIp: peerIp };
    }),
  };
}

/** "172.30.0.11" -> "02:4b:ac:1e:00:0b": locally administered, then the last four bytes of the address. */
function hardwareAddressOf(nodeIp: string): string {
  const value = parseIp(nodeIp)?.value ?? 0n;
  const hex = value.toString(16).padStart(8, "0").slice(-8);
  return `02:4b:${(hex.match(/../g) ?? []).join(":")}`;
}

/**
 * The CNI network: a bridge whose gateway is the node, addresses from the node's own range, host ports,
 * and the limits that pods' kubernetes.io/ingress-bandwidth and egress-bandwidth ask for.
 * Source: CNI specification 1.0.0; cni.dev/plugins bridge, host-local, portmap. Loopback is the runtime's own business.
 */
function conflistOf(podPrefixes: readonly string[], mtu: number, options: NetworkOptions): Record<string, unknown> {
  const routes = [...new Set(podPrefixes.map(familyOf))].map((family) => ({
    dst: family === "ipv4" ? "0.0.0.0/0" : "::/0",
  }));
  return {
    cniVersion: "1.0.0",
    name: "knarr",
    plugins: [
      {
        type: "bridge",
        bridge: options.bridge,
        isGateway: true,
        hairpinMode: true,
        ipMasq: false,
        mtu,
        ipam: {
          type: "host-local",
          ranges: podPrefixes.map((subnet) => [{ subnet }]),
          routes,
          ...(options.ipamDir === "" ? {} : { dataDir: options.ipamDir }),
        },
      },
      { type: "portmap", capabilities: { portMappings: true }, snat: true },
      ...(options.bandwidth ? [{ type: "bandwidth", capabilities: { bandwidth: true } }] : []),
    ],
  };
}
