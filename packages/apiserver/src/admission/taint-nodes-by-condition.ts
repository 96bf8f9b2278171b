/**
 * A new node takes no pods before it has said that it is ready.
 * Source: k8s.io/kubernetes/plugin/pkg/admission/nodetaint
 */
import { core } from "@knarr/api/generated/resources.ts";
import type { Node } from "@knarr/api/generated/types/core-v1.ts";
import { type AdmissionPlugin, isFor } from "./plugin.ts";

const NOT_READY = "node.kubernetes.io/not-ready";

export const taintNodesByCondition: AdmissionPlugin = {
  name: "TaintNodesByCondition",
  admit(attributes) {
    if (attributes.operation !== "CREATE" || !isFor(attributes, core.nodes)) return;
    const node = attributes.object as Node;
    const taints = node.spec?.taints ?? [];
    if (taints.some((taint) => taint.key === NOT_READY && taint.effect === "NoSchedule")) return;
    node.spec = { ...node.spec, taints: [...taints, { key: NOT_READY, effect: "NoSchedule" }] };
  },
};
