/** NodeName: a pod that names its node fits no other. Source: plugins/nodename */
import { Code, type FilterPlugin } from "../core/framework.ts";

const name = "NodeName";
export const nodeName: FilterPlugin = {
  name,
  filter(_state, pod, node) {
    const wanted = pod.spec?.nodeName ?? "";
    if (wanted === "" || wanted === node.name) return undefined;
    return {
      code: Code.UnschedulableAndUnresolvable,
      reasons: ["node(s) didn't match the requested node name"],
      plugin: name,
    };
  },
  worthRetry: (_pod, event) => event.resource === "Node" && event.action === "Add",
};
