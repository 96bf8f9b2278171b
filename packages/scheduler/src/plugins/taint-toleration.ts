/** TaintToleration: NoSchedule and NoExecute taints refuse, PreferNoSchedule taints cost. Source: plugins/tainttoleration */
import type { Toleration } from "@knarr/api/generated/types/core-v1.ts";
import { findUntoleratedTaint, TaintEffect, toleratesTaint } from "@knarr/scheduling/taints.ts";
import { normalizeByMaximum, type Plugin, skip, unresolvable } from "../core/framework.ts";

const name = "TaintToleration";
const hard = [TaintEffect.NoSchedule, TaintEffect.NoExecute];
const refusal = unresolvable(name, "node(s) had untolerated taint(s)");

export const taintToleration = (): Plugin => ({
  name,
  events: ["Node/Add", "Node/Update", "TargetPod/Update"],
  filter(_state, { pod }, node) {
    const taints = node.node?.spec?.taints;
    if (taints === undefined || taints.length === 0) return undefined;
    return findUntoleratedTaint(taints, pod.spec?.tolerations, hard) === undefined ? undefined : refusal;
  },
  preScore(state, { pod }, nodes) {
    const costs = nodes.some((node) => node.node?.spec?.taints?.some(({ effect }) => effect === "PreferNoSchedule"));
    // Differs from upstream: skipped when no node has such a taint, because all scores would be the same.
    if (!costs) return skip(name);
    // Only tolerations for PreferNoSchedule, or for every effect, count here.
    const soft = (pod.spec?.tolerations ?? []).filter(
      ({ effect }) => (effect ?? "") === "" || effect === TaintEffect.PreferNoSchedule,
    );
    state.write(name, soft);
    return undefined;
  },
  score(state, _pod, node) {
    const soft = state.read<readonly Toleration[]>(name);
    let intolerable = 0;
    for (const taint of node.node?.spec?.taints ?? []) {
      if (taint.effect !== TaintEffect.PreferNoSchedule) continue;
      if (!soft.some((toleration) => toleratesTaint(toleration, taint))) intolerable++;
    }
    return intolerable;
  },
  normalize: (scores) => normalizeByMaximum(scores, true),
  worthRetry({ pod }, event) {
    if (event.resource === "TargetPod") return true;
    if (event.resource !== "Node" || event.action === "Delete") return false;
    const { tolerations } = pod.spec ?? {};
    if (findUntoleratedTaint(event.node.spec?.taints, tolerations, hard) !== undefined) return false;
    return event.action === "Add" || findUntoleratedTaint(event.old.spec?.taints, tolerations, hard) !== undefined;
  },
});
