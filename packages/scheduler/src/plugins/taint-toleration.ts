/** TaintToleration: NoSchedule and NoExecute taints refuse, PreferNoSchedule taints cost. Source: plugins/tainttoleration */
import { findUntoleratedTaint, TaintEffect, toleratesTaint } from "@knarr/scheduling/taints.ts";
import { Code, type FilterPlugin, normalizeByMaximum, type ScorePlugin } from "../core/framework.ts";

const name = "TaintToleration";
const hard = [TaintEffect.NoSchedule, TaintEffect.NoExecute];

export const taintToleration: FilterPlugin & ScorePlugin = {
  name,
  filter(_state, pod, node) {
    const taint = findUntoleratedTaint(node.node?.spec?.taints, pod.spec?.tolerations, hard);
    if (taint === undefined) return undefined;
    return { code: Code.UnschedulableAndUnresolvable, reasons: ["node(s) had untolerated taint(s)"], plugin: name };
  },
  score(_state, pod, node) {
    // Only tolerations for PreferNoSchedule, or for every effect, count here.
    const soft = (pod.spec?.tolerations ?? []).filter(
      (t) => (t.effect ?? "") === "" || t.effect === "PreferNoSchedule",
    );
    return (node.node?.spec?.taints ?? []).filter(
      (taint) =>
        taint.effect === TaintEffect.PreferNoSchedule && !soft.some((toleration) => toleratesTaint(toleration, taint)),
    ).length;
  },
  normalize: (scores) => normalizeByMaximum(scores, true),
  worthRetry(pod, event) {
    if (event.resource === "TargetPod") return true;
    if (event.resource !== "Node" || event.action === "Delete") return false;
    return findUntoleratedTaint(event.node.spec?.taints, pod.spec?.tolerations, hard) === undefined;
  },
};
