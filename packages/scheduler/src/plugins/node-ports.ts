/** NodePorts: a host port has room for one pod per node. Source: plugins/nodeports */
import { hostPortsConflict, hostPortsOf } from "@knarr/scheduling/host-ports.ts";
import { type Plugin, skip, unschedulable } from "../core/framework.ts";

const name = "NodePorts";
const refusal = unschedulable(name, "node(s) didn't have free ports for the requested pod ports");

export const nodePorts = (): Plugin => ({
  name,
  events: ["Node/Add", "Node/Update", "AssignedPod/Delete"],
  preFilter: (_state, { hostPorts }) => (hostPorts.length === 0 ? { status: skip(name) } : undefined),
  filter(_state, { hostPorts }, node) {
    if (!node.hasHostPorts) return undefined;
    return hostPorts.some((port) => node.hostPortTaken(port)) ? refusal : undefined;
  },
  worthRetry({ hostPorts }, event) {
    if (event.resource === "Node") return event.action === "Add";
    if (event.resource !== "AssignedPod" || event.action !== "Delete") return false;
    return hostPortsOf(event.pod).some((freed) => hostPorts.some((port) => hostPortsConflict(port, freed)));
  },
});
