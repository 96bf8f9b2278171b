/** NodeUnschedulable: cordoned nodes take only pods that tolerate the cordon's taint. Source: plugins/nodeunschedulable */
import { toleratesTaint } from "@knarr/scheduling/taints.ts";
import { type Plugin, unresolvable } from "../core/framework.ts";

const name = "NodeUnschedulable";
const cordonTaint = { key: "node.kubernetes.io/unschedulable", effect: "NoSchedule" };
const refusal = unresolvable(name, "node(s) were unschedulable");

export const nodeUnschedulable = (): Plugin => ({
  name,
  events: ["Node/Add", "Node/Update", "TargetPod/Update"],
  filter(_state, { pod }, node) {
    if (node.node?.spec?.unschedulable !== true) return undefined;
    if (pod.spec?.tolerations?.some((toleration) => toleratesTaint(toleration, cordonTaint))) return undefined;
    return refusal;
  },
  worthRetry(_pod, event) {
    if (event.resource !== "Node" || event.action === "Delete") return event.resource === "TargetPod";
    if (event.node.spec?.unschedulable === true) return false;
    return event.action === "Add" || event.old.spec?.unschedulable === true;
  },
});
