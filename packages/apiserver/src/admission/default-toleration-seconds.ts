/**
 * Pods stay five minutes on a node that is not ready or unreachable, unless they say otherwise.
 * Source: k8s.io/kubernetes/plugin/pkg/admission/defaulttolerationseconds
 */
import { core } from "@knarr/api/generated/resources.ts";
import type { Pod, Toleration } from "@knarr/api/generated/types/core-v1.ts";
import { type AdmissionPlugin, isFor } from "./plugin.ts";

const NOT_READY = "node.kubernetes.io/not-ready";
const UNREACHABLE = "node.kubernetes.io/unreachable";

export const defaultTolerationSeconds: AdmissionPlugin = {
  name: "DefaultTolerationSeconds",
  admit(attributes, env) {
    if (attributes.operation !== "CREATE" && attributes.operation !== "UPDATE") return;
    if (!isFor(attributes, core.pods)) return;
    const spec = (attributes.object as Pod).spec;
    if (spec === undefined) return;
    const tolerations = spec.tolerations ?? [];
    const added: Toleration[] = [];
    if (!tolerations.some((t) => tolerates(t, NOT_READY))) {
      added.push({
        key: NOT_READY,
        operator: "Exists",
        effect: "NoExecute",
        tolerationSeconds: env.notReadyTolerationSeconds,
      });
    }
    if (!tolerations.some((t) => tolerates(t, UNREACHABLE))) {
      added.push({
        key: UNREACHABLE,
        operator: "Exists",
        effect: "NoExecute",
        tolerationSeconds: env.unreachableTolerationSeconds,
      });
    }
    if (added.length > 0) spec.tolerations = [...tolerations, ...added];
  },
};

function tolerates(toleration: Toleration, key: string): boolean {
  const { key: tolerated = "", effect = "" } = toleration;
  return (tolerated === key || tolerated === "") && (effect === "NoExecute" || effect === "");
}
