/**
 * Pods bear their node's zone and region, so that containers can learn where they are through the downward API.
 * Source: KEP-4742; k8s.io/kubernetes/plugin/pkg/admission/podtopologylabels
 */
import { core } from "@knarr/api/generated/resources.ts";
import type { Binding, Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { ObjectMeta } from "@knarr/apimachinery/generated/meta-v1.ts";
import { type AdmissionEnvironment, type AdmissionPlugin, isFor } from "./plugin.ts";

const LABELS = ["topology.kubernetes.io/zone", "topology.kubernetes.io/region"];

export const podTopologyLabels: AdmissionPlugin = {
  name: "PodTopologyLabels",
  async admit(attributes, env) {
    if (attributes.operation !== "CREATE" || attributes.object === undefined) return;
    if (isFor(attributes, core.pods)) {
      const { metadata, spec } = attributes.object as Pod;
      await copyLabels(metadata, spec?.nodeName ?? "", env);
    } else if (isFor(attributes, core.pods, "binding")) {
      // Whoever binds writes the labels through the binding.
      const { target } = attributes.object as unknown as Binding;
      if (target?.kind === "Node") await copyLabels(attributes.object.metadata, target.name ?? "", env);
    }
  },
};

/** What the pod says itself stays. */
async function copyLabels(metadata: ObjectMeta, nodeName: string, env: AdmissionEnvironment): Promise<void> {
  if (nodeName === "") return;
  const labels = (await env.lookup.get(core.nodes, { namespace: "", name: nodeName }))?.metadata.labels ?? {};
  const copied = Object.entries(labels).filter(([key]) => LABELS.includes(key));
  if (copied.length > 0) metadata.labels = { ...Object.fromEntries(copied), ...metadata.labels };
}
