/** NodePorts: a host port has room for one pod per node. Source: plugins/nodeports */
import { type HostPort, hostPortsConflict, hostPortsOf } from "@knarr/scheduling/host-ports.ts";
import { Code, type FilterPlugin, type PreFilterPlugin } from "../core/framework.ts";

const name = "NodePorts";

export const nodePorts: PreFilterPlugin & FilterPlugin = {
  name,
  preFilter(state, pod) {
    const wanted = hostPortsOf(pod);
    if (wanted.length === 0) return { status: { code: Code.Skip, reasons: [], plugin: name } };
    state.write(name, wanted);
    return undefined;
  },
  filter(state, _pod, node) {
    const wanted = state.read<HostPort[]>(name);
    for (const taken of node.hostPorts()) {
      if (wanted.some((port) => hostPortsConflict(port, taken))) {
        return {
          code: Code.Unschedulable,
          reasons: ["node(s) didn't have free ports for the requested pod ports"],
          plugin: name,
        };
      }
    }
    return undefined;
  },
  worthRetry(pod, event) {
    if (event.resource === "Node") return event.action === "Add";
    if (event.resource !== "AssignedPod" || event.action === "Add") return false;
    const wanted = hostPortsOf(pod);
    return hostPortsOf(event.pod).some((freed) => wanted.some((port) => hostPortsConflict(port, freed)));
  },
};
