/**
 * IPVS, the kernel's own balancer: virtual servers with their real servers, as `ipvsadm --save` tells them, and the
 * commands that lead from what there is to what is wanted.
 *
 *   key      "tcp 10.96.0.20:80"                       the virtual server
 *   options  "-s rr -p 10800"                          scheduler, and how long a client sticks
 *   servers  "10.180.0.2:8080" -> 1                    real servers with their weights
 *
 * A real server of TCP or SCTP that is not wanted any more gets weight 0: no new connections come, those that it has go on,
 * and it is removed when none is left. UDP knows no connections to wait for.
 */
import type { Protocol } from "./rule.ts";

export interface VirtualServer {
  readonly options: string;
  readonly servers: ReadonlyMap<string, number>;
}

export interface WantedServer {
  readonly options: string;
  readonly servers: ReadonlySet<string>;
}

export interface ServerConnections {
  readonly active: number;
  readonly inactive: number;
}

const protocolFlags = { tcp: "-t", udp: "-u", sctp: "--sctp-service" } as const satisfies Record<Protocol, string>;
const flagProtocols: Readonly<Record<string, Protocol>> = { "-t": "tcp", "-u": "udp", "--sctp-service": "sctp" };

export function virtualServerKey(protocol: Protocol, hostPort: string): string {
  return `${protocol} ${hostPort}`;
}

export function splitVirtualServerKey(key: string): { readonly protocol: Protocol; readonly hostPort: string } {
  const space = key.indexOf(" ");
  return { protocol: key.slice(0, space) as Protocol, hostPort: key.slice(space + 1) };
}

/** Reads `ipvsadm --save --numeric`; virtual servers by firewall mark are nobody's we know and left out. */
export function parseIpvs(text: string): Map<string, VirtualServer> {
  const found = new Map<string, { options: string; servers: Map<string, number> }>();
  for (const line of text.split("\n")) {
    const [verb, flag = "", hostPort = "", ...rest] = line.trim().split(/\s+/);
    const protocol = flagProtocols[flag];
    if (protocol === undefined) continue;
    const key = virtualServerKey(protocol, hostPort);
    if (verb === "-A") found.set(key, { options: rest.join(" "), servers: new Map() });
    if (verb !== "-a") continue;
    const server = rest[rest.indexOf("-r") + 1];
    const weight = rest.indexOf("-w");
    if (server !== undefined) found.get(key)?.servers.set(server, weight < 0 ? 1 : Number(rest[weight + 1]));
  }
  return found;
}

export interface IpvsChange {
  /** What brings servers, in one order with what changes them. */
  readonly additions: readonly string[];
  /** What takes virtual servers and real servers away. */
  readonly removals: readonly string[];
  /** Real servers that are left to end their connections. */
  readonly draining: readonly string[];
}

/** The commands for one virtual server, as `ipvsadm --restore` reads them. Undefined is one that is not (to be) there. */
export function planVirtualServer(
  key: string,
  actual: VirtualServer | undefined,
  wanted: WantedServer | undefined,
): IpvsChange {
  const { protocol, hostPort } = splitVirtualServerKey(key);
  const service = `${protocolFlags[protocol]} ${hostPort}`;
  if (wanted === undefined) {
    return { additions: [], removals: actual === undefined ? [] : [`-D ${service}`], draining: [] };
  }
  const additions: string[] = [];
  const removals: string[] = [];
  const draining: string[] = [];
  if (actual === undefined) additions.push(`-A ${service} ${wanted.options}`);
  else if (actual.options !== wanted.options) additions.push(`-E ${service} ${wanted.options}`);
  for (const server of wanted.servers) {
    const weight = actual?.servers.get(server);
    if (weight === undefined) additions.push(`-a ${service} -r ${server} -m -w 1`);
    else if (weight !== 1) additions.push(`-e ${service} -r ${server} -m -w 1`);
  }
  for (const [server, weight] of actual?.servers ?? []) {
    if (wanted.servers.has(server)) continue;
    if (protocol === "udp") {
      removals.push(`-d ${service} -r ${server}`);
      continue;
    }
    if (weight !== 0) removals.push(`-e ${service} -r ${server} -m -w 0`);
    draining.push(server);
  }
  return { additions, removals, draining };
}

/** Removes a real server that has nothing left to do. */
export function renderServerRemoval(key: string, server: string): string {
  const { protocol, hostPort } = splitVirtualServerKey(key);
  return `-d ${protocolFlags[protocol]} ${hostPort} -r ${server}`;
}

/** Reads `ipvsadm --list --numeric`: the connections of each real server, by key and server. */
export function parseIpvsConnections(text: string): Map<string, Map<string, ServerConnections>> {
  const found = new Map<string, Map<string, ServerConnections>>();
  let servers: Map<string, ServerConnections> | undefined;
  for (const line of text.split("\n")) {
    const words = line.trim().split(/\s+/);
    const service = /^(TCP|UDP|SCTP)$/.exec(words[0] ?? "");
    if (service !== null) {
      servers = new Map();
      found.set(virtualServerKey((words[0] ?? "").toLowerCase() as Protocol, words[1] ?? ""), servers);
    } else if (words[0] === "->" && words.length >= 6) {
      servers?.set(words[1] ?? "", { active: Number(words[4]), inactive: Number(words[5]) });
    } else if (words[0] === "FWM") {
      servers = undefined;
    }
  }
  return found;
}
