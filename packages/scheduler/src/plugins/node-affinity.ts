/** NodeAffinity: nodeSelector and required affinity refuse, preferred affinity scores. Source: plugins/nodeaffinity */
import { matchesRequiredNodeAffinity, preferredNodeAffinityWeight } from "@knarr/scheduling/node-affinity.ts";
import {
  Code,
  type FilterPlugin,
  normalizeByMaximum,
  type PreScorePlugin,
  type ScorePlugin,
} from "../core/framework.ts";

const name = "NodeAffinity";

export const nodeAffinity: FilterPlugin & PreScorePlugin & ScorePlugin = {
  name,
  filter(_state, pod, node) {
    if (node.node !== undefined && matchesRequiredNodeAffinity(pod, node.node)) return undefined;
    return {
      code: Code.UnschedulableAndUnresolvable,
      reasons: ["node(s) didn't match Pod's node affinity/selector"],
      plugin: name,
    };
  },
  preScore(_state, pod) {
    const preferred = pod.spec?.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
    return preferred.length === 0 ? { code: Code.Skip, reasons: [], plugin: name } : undefined;
  },
  score: (_state, pod, node) => (node.node === undefined ? 0 : preferredNodeAffinityWeight(pod, node.node)),
  normalize: (scores) => normalizeByMaximum(scores, false),
  worthRetry(pod, event) {
    if (event.resource === "TargetPod") return true;
    return event.resource === "Node" && event.action !== "Delete" && matchesRequiredNodeAffinity(pod, event.node);
  },
};
