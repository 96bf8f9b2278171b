/** The node's links, routes and tunnel as the kernel has them, read and written through `ip` and `bridge` in JSON. */
import { CommandError, runChecked, runCommand } from "@knarr/netfilter/run-command.ts";
import { type ActualTunnel, ROUTE_PROTOCOL } from "../core/plan-kernel.ts";
import type { Link, Route } from "../core/plan-network.ts";
import { VXLAN_DEVICE } from "../core/plan-network.ts";

interface JsonLink {
  readonly ifname: string;
  readonly mtu: number;
  readonly address?: string;
  readonly addr_info?: readonly { readonly local?: string; readonly prefixlen?: number }[];
  readonly linkinfo?: { readonly info_data?: { readonly local?: string; readonly local6?: string } };
}
interface JsonRoute {
  readonly dst: string;
  readonly gateway?: string;
  readonly dev?: string;
}
interface JsonNeighbour {
  readonly dst?: string;
  readonly lladdr?: string;
  readonly mac?: string;
}

async function readJson<T>(program: "ip" | "bridge", args: readonly string[], signal: AbortSignal): Promise<T[]> {
  const text = await runChecked(program, ["-json", ...args], { signal });
  return text.trim() === "" ? [] : (JSON.parse(text) as T[]);
}

function addressesOf(link: JsonLink): string[] {
  return (link.addr_info ?? []).flatMap((a) => (a.local === undefined ? [] : [`${a.local}/${a.prefixlen ?? 32}`]));
}

/** Links that are up to carry traffic between nodes: not the pods' bridge, not the tunnel. */
export async function readLinks(exclude: readonly string[], signal: AbortSignal): Promise<Link[]> {
  const links = await readJson<JsonLink>("ip", ["address", "show"], signal);
  return links
    .filter((link) => link.ifname !== "lo" && link.ifname !== VXLAN_DEVICE && !exclude.includes(link.ifname))
    .map((link) => ({ name: link.ifname, mtu: link.mtu, addresses: addressesOf(link) }));
}

export async function readOwnRoutes(signal: AbortSignal): Promise<Route[]> {
  const routes: Route[] = [];
  for (const family of ["-4", "-6"]) {
    const found = await readJson<JsonRoute>("ip", [family, "route", "show", "proto", String(ROUTE_PROTOCOL)], signal);
    for (const { dst, gateway, dev } of found) {
      routes.push({ prefix: dst, via: gateway ?? "", ...(dev === undefined ? {} : { device: dev }) });
    }
  }
  return routes;
}

export async function readTunnel(signal: AbortSignal): Promise<ActualTunnel | undefined> {
  const all = await readJson<JsonLink>("ip", ["-details", "address", "show", "type", "vxlan"], signal);
  const link = all.find((l) => l.ifname === VXLAN_DEVICE);
  if (link === undefined) return undefined;
  const neighbours: JsonNeighbour[] = [];
  for (const family of ["-4", "-6"]) {
    const args = [family, "neigh", "show", "dev", VXLAN_DEVICE, "nud", "permanent"];
    neighbours.push(...(await readJson<JsonNeighbour>("ip", args, signal)));
  }
  const forwarding = await readJson<JsonNeighbour>("bridge", ["fdb", "show", "dev", VXLAN_DEVICE], signal);
  const pairs = (entries: readonly [key: string | undefined, value: string | undefined][]) =>
    new Map(entries.filter((e): e is [string, string] => e[0] !== undefined && e[1] !== undefined));
  return {
    hardwareAddress: link.address ?? "",
    mtu: link.mtu,
    localIp: link.linkinfo?.info_data?.local ?? link.linkinfo?.info_data?.local6 ?? "",
    // The kernel's own link-local address is no concern of ours.
    innerAddresses: addressesOf(link)
      .filter((address) => !address.startsWith("fe80:"))
      .map((address) => address.replace(/\/.*$/, "")),
    neighbours: pairs(neighbours.map((n) => [n.dst, n.lladdr])),
    forwarding: pairs(forwarding.map((n) => [n.mac, n.dst])),
  };
}

/** Runs all lines even when one fails, and rejects with a CommandError when one did: one bad peer must not stop others. */
export async function runBatch(program: "ip" | "bridge", lines: readonly string[], signal: AbortSignal): Promise<void> {
  if (lines.length === 0) return;
  const result = await runCommand(program, ["-force", "-batch", "-"], { input: `${lines.join("\n")}\n`, signal });
  if (result.code !== 0) throw new CommandError(`${program} -batch`, "failed", result);
}
