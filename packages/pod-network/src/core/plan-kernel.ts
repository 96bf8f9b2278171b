/**
 * From wanted and actual kernel state to the commands for `ip -batch` and `bridge -batch`. Routes of ours bear a protocol
 * number of their own, and tunnel entries live on a device of ours: nothing else is ever named in a command.
 */
import type { Route, Tunnel } from "./plan-network.ts";
import { VXLAN_DEVICE, VXLAN_ID, VXLAN_PORT } from "./plan-network.ts";

/** Marks our routes, as daemons do: `ip route show proto 75`. Source: rtnetlink(7) rtm_protocol, above RTPROT_STATIC */
export const ROUTE_PROTOCOL = 75;

export interface ActualTunnel {
  readonly hardwareAddress: string;
  readonly mtu: number;
  readonly localIp: string;
  readonly innerAddresses: readonly string[];
  /** inner address -> hardware address */
  readonly neighbours: ReadonlyMap<string, string>;
  /** hardware address -> node address */
  readonly forwarding: ReadonlyMap<string, string>;
}

/** Lines for `ip -batch`: routes that are missing or different are replaced, ours that are not wanted go. */
export function planRoutes(wanted: readonly Route[], actual: readonly Route[]): string[] {
  const lines: string[] = [];
  const wantedPrefixes = new Set(wanted.map((route) => route.prefix));
  for (const route of actual) {
    if (!wantedPrefixes.has(route.prefix)) lines.push(`route del ${route.prefix} proto ${ROUTE_PROTOCOL}`);
  }
  for (const route of wanted) {
    const same = actual.some(
      (a) =>
        a.prefix === route.prefix && a.via === route.via && (route.device === undefined || a.device === route.device),
    );
    if (same) continue;
    const tunnel = route.device === undefined ? "" : ` dev ${route.device} onlink`;
    lines.push(`route replace ${route.prefix} via ${route.via}${tunnel} proto ${ROUTE_PROTOCOL}`);
  }
  return lines;
}

export interface TunnelCommands {
  /** Before the routes. */
  readonly ip: readonly string[];
  readonly bridge: readonly string[];
}

/** Brings the tunnel device and its entries to what is wanted; undefined for either means that there is none. */
export function planTunnelCommands(wanted: Tunnel | undefined, actual: ActualTunnel | undefined): TunnelCommands {
  if (wanted === undefined) return { ip: actual === undefined ? [] : [`link del ${VXLAN_DEVICE}`], bridge: [] };
  const ip: string[] = [];
  let existing = actual;
  if (existing !== undefined && existing.localIp !== wanted.localIp) {
    ip.push(`link del ${VXLAN_DEVICE}`);
    existing = undefined;
  }
  if (existing === undefined) {
    const address = `address ${wanted.hardwareAddress} mtu ${wanted.mtu}`;
    const vxlan = `type vxlan id ${VXLAN_ID} dstport ${VXLAN_PORT} local ${wanted.localIp} nolearning`;
    ip.push(`link add ${VXLAN_DEVICE} ${address} ${vxlan}`, `link set ${VXLAN_DEVICE} up`);
  } else {
    if (existing.hardwareAddress !== wanted.hardwareAddress) {
      ip.push(`link set ${VXLAN_DEVICE} address ${wanted.hardwareAddress}`);
    }
    if (existing.mtu !== wanted.mtu) ip.push(`link set ${VXLAN_DEVICE} mtu ${wanted.mtu}`);
  }
  const whole = (address: string) => (address.includes(":") ? `${address}/128` : `${address}/32`);
  for (const address of wanted.innerAddresses) {
    if (existing?.innerAddresses.includes(address) === true) continue;
    // Nobody else can have it, and until it is checked the kernel would not answer there.
    const unchecked = address.includes(":") ? " nodad" : "";
    ip.push(`addr replace ${whole(address)} dev ${VXLAN_DEVICE}${unchecked}`);
  }
  for (const address of existing?.innerAddresses ?? []) {
    if (!wanted.innerAddresses.includes(address)) ip.push(`addr del ${whole(address)} dev ${VXLAN_DEVICE}`);
  }
  const bridge = new Set<string>();
  for (const peer of wanted.peers) {
    if (existing?.neighbours.get(peer.innerAddress) !== peer.hardwareAddress) {
      const entry = `${peer.innerAddress} lladdr ${peer.hardwareAddress} dev ${VXLAN_DEVICE} nud permanent`;
      ip.push(`neigh replace ${entry}`);
    }
    if (existing?.forwarding.get(peer.hardwareAddress) !== peer.nodeIp) {
      bridge.add(`fdb replace ${peer.hardwareAddress} dev ${VXLAN_DEVICE} dst ${peer.nodeIp} self permanent`);
    }
  }
  for (const address of existing?.neighbours.keys() ?? []) {
    if (wanted.peers.some((peer) => peer.innerAddress === address)) continue;
    ip.push(`neigh del ${address} dev ${VXLAN_DEVICE}`);
  }
  for (const [hardwareAddress, nodeIp] of existing?.forwarding ?? []) {
    if (wanted.peers.some((peer) => peer.hardwareAddress === hardwareAddress)) continue;
    bridge.add(`fdb del ${hardwareAddress} dev ${VXLAN_DEVICE} dst ${nodeIp} self`);
  }
  return { ip, bridge: [...bridge] };
}
