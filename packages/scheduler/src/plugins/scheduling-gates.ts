/** SchedulingGates keeps pods with spec.schedulingGates out of the queue. Source: KEP-3521 */
import { type Plugin, unresolvable } from "../core/framework.ts";

const name = "SchedulingGates";

export const schedulingGates = (): Plugin => ({
  name,
  events: ["TargetPod/Update"],
  preEnqueue(pod) {
    const gates = pod.spec?.schedulingGates ?? [];
    if (gates.length === 0) return undefined;
    return unresolvable(name, `waiting for scheduling gates: [${gates.map((gate) => gate.name).join(" ")}]`);
  },
});
