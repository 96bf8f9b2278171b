/**
 * Which UDP connections still go where their Service no longer leads. TCP clients notice and connect anew; UDP clients
 * go on sending, and every packet keeps the old translation alive.
 */

import type { ConntrackFlow, FlowClass } from "@knarr/netfilter/conntrack.ts";
import { joinHostPort } from "@knarr/netfilter/ip.ts";
import type { PlannedPort } from "./planned-port.ts";

/** Each class once. A flow to a Service's address is stale unless a serving endpoint of it answers. */
export function findStaleFlows(flows: readonly ConntrackFlow[], ports: readonly PlannedPort[]): FlowClass[] {
  const byAddress = new Map<string, ReadonlySet<string>>();
  const byNodePort = new Map<number, ReadonlySet<string>>();
  for (const { port, endpoints } of ports) {
    if (port.protocol !== "udp") continue;
    const serving = new Set(endpoints.filter((e) => e.ready || e.serving).map((e) => joinHostPort(e.address, e.port)));
    for (const address of [port.clusterIp, ...port.externalIps, ...port.loadBalancerIps]) {
      byAddress.set(joinHostPort(address, port.port), serving);
    }
    if (port.nodePort !== 0) byNodePort.set(port.nodePort, serving);
  }
  const stale = new Map<string, FlowClass>();
  for (const flow of flows) {
    if (flow.protocol !== "udp") continue;
    const frontend = joinHostPort(flow.destination, flow.destinationPort);
    const serving = byAddress.get(frontend) ?? byNodePort.get(flow.destinationPort);
    const answering = joinHostPort(flow.replySource, flow.replySourcePort);
    if (serving === undefined || serving.has(answering)) continue;
    const { protocol, destination, destinationPort, replySource, replySourcePort } = flow;
    const flowClass = { protocol, destination, destinationPort, replySource, replySourcePort };
    stale.set(`${frontend} ${answering}`, flowClass);
  }
  return [...stale.values()];
}
