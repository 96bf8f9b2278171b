/**
 * NodeAffinity: nodeSelector and required affinity refuse, preferred affinity scores. The arguments may add affinity that
 * holds for every pod of the profile. Source: plugins/nodeaffinity
 */
import type { Node, NodeAffinity, Pod, PreferredSchedulingTerm } from "@knarr/api/generated/types/core-v1.ts";
import {
  matchesNodeSelector,
  matchesNodeSelectorTerm,
  matchesRequiredNodeAffinity,
} from "@knarr/scheduling/node-affinity.ts";
import { normalizeByMaximum, type Plugin, skip, unresolvable } from "../core/framework.ts";
import type { PluginFactory } from "./plugin-handle.ts";

const name = "NodeAffinity";
const refusal = unresolvable(name, "node(s) didn't match Pod's node affinity/selector");
const conflict = unresolvable(name, "pod affinity terms conflict");
const enforced = unresolvable(name, "node(s) didn't match scheduler-enforced node affinity");

export const nodeAffinity: PluginFactory = (args): Plugin => {
  const added = args.addedAffinity as NodeAffinity | undefined;
  const addedRequired = added?.requiredDuringSchedulingIgnoredDuringExecution;
  const addedPreferred = added?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
  const fits = (pod: Pod, node: Node) =>
    (addedRequired === undefined || matchesNodeSelector(addedRequired, node)) && matchesRequiredNodeAffinity(pod, node);
  const preferredOf = (pod: Pod) => [
    ...addedPreferred,
    ...(pod.spec?.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []),
  ];
  return {
    name,
    events: ["Node/Add", "Node/Update", "TargetPod/Update"],
    preFilter(_state, { pod }) {
      const required = pod.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
      if (required === undefined && pod.spec?.nodeSelector === undefined && addedRequired === undefined) {
        return { status: skip(name) };
      }
      const nodeNames = namedNodes(pod);
      if (nodeNames?.size === 0) return { status: conflict };
      return nodeNames === undefined ? undefined : { nodeNames };
    },
    filter(_state, { pod }, { node }) {
      if (node === undefined) return refusal;
      if (addedRequired !== undefined && !matchesNodeSelector(addedRequired, node)) return enforced;
      return matchesRequiredNodeAffinity(pod, node) ? undefined : refusal;
    },
    preScore(state, { pod }) {
      const preferred = preferredOf(pod);
      if (preferred.length === 0) return skip(name);
      state.write(name, preferred);
      return undefined;
    },
    score(state, _pod, { node }) {
      if (node === undefined) return 0;
      let sum = 0;
      for (const { preference, weight } of state.read<readonly PreferredSchedulingTerm[]>(name)) {
        // An empty preferred term matches no node, as an empty required one.
        if (matchesNodeSelectorTerm(preference, node)) sum += weight;
      }
      return sum;
    },
    normalize: (scores) => normalizeByMaximum(scores, false),
    worthRetry({ pod }, event) {
      if (event.resource === "TargetPod") return true;
      if (event.resource !== "Node" || event.action === "Delete" || !fits(pod, event.node)) return false;
      return event.action === "Add" || !fits(pod, event.old);
    },
  };
};

/** The nodes that the pod's terms name, when every term does (as those of DaemonSets do): nobody else need be asked. */
function namedNodes(pod: Pod): ReadonlySet<string> | undefined {
  const terms = pod.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
  if (terms === undefined || terms.length === 0) return undefined;
  const all = new Set<string>();
  for (const term of terms) {
    let names: ReadonlySet<string> | undefined;
    for (const { key, operator, values } of term.matchFields ?? []) {
      if (key !== "metadata.name" || operator !== "In") continue;
      const named = new Set(values ?? []);
      names = names === undefined ? named : names.intersection(named);
    }
    if (names === undefined) return undefined;
    for (const node of names) all.add(node);
  }
  return all;
}
