/** SchedulingGates keeps pods with spec.schedulingGates out of the queue. Source: KEP-3521 */
import { Code, type PreEnqueuePlugin } from "../core/framework.ts";

const name = "SchedulingGates";
export const schedulingGates: PreEnqueuePlugin = {
  name,
  preEnqueue(pod) {
    const gates = pod.spec?.schedulingGates ?? [];
    if (gates.length === 0) return undefined;
    const names = gates.map((gate) => gate.name).join(" ");
    return {
      code: Code.UnschedulableAndUnresolvable,
      reasons: [`waiting for scheduling gates: [${names}]`],
      plugin: name,
    };
  },
};
