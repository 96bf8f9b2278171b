/** NodeUnschedulable: cordoned nodes take only pods that tolerate the cordon's taint. Source: plugins/nodeunschedulable */
import { toleratesTaint } from "@knarr/scheduling/taints.ts";
import { Code, type FilterPlugin } from "../core/framework.ts";

const name = "NodeUnschedulable";
const cordonTaint = { key: "node.kubernetes.io/unschedulable", effect: "NoSchedule" };

export const nodeUnschedulable: FilterPlugin = {
  name,
  filter(_state, pod, node) {
    if (node.node?.spec?.unschedulable !== true) return undefined;
    if (pod.spec?.tolerations?.some((toleration) => toleratesTaint(toleration, cordonTaint))) return undefined;
    return { code: Code.UnschedulableAndUnresolvable, reasons: ["node(s) were unschedulable"], plugin: name };
  },
  worthRetry(_pod, event) {
    if (event.resource === "TargetPod") return true;
    return event.resource === "Node" && event.action !== "Delete" && event.node.spec?.unschedulable !== true;
  },
};
