/** The pod that a workload's template makes. Source: kubernetes/pkg/controller/controller_utils.go GetPodFromTemplate */
import type { Pod, PodTemplateSpec } from "@knarr/api/generated/types/core-v1.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { controllerRef } from "./claim-plan.ts";

/** Room for the five letters that the server adds to a generated name. */
const MAX_GENERATED_NAME = 58;

/** A pod that `owner` controls; the server completes its name from `generateName`. */
export function podOf(owner: KubeObject, template: PodTemplateSpec, generateName?: string): Pod {
  const { metadata = {}, spec } = template;
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      generateName: generateName ?? `${owner.metadata.name}-`,
      namespace: owner.metadata.namespace,
      ...(metadata.labels === undefined ? {} : { labels: metadata.labels }),
      ...(metadata.annotations === undefined ? {} : { annotations: metadata.annotations }),
      ...(metadata.finalizers === undefined ? {} : { finalizers: metadata.finalizers }),
      ownerReferences: [controllerRef(owner)],
    },
    ...(spec === undefined ? {} : { spec }),
  };
}

/** "NAME-INDEX-", the name shortened so that the index is never lost. */
export function generateNameWithIndex(name: string, index: number): string {
  const suffix = `-${index}-`;
  return name.slice(0, MAX_GENERATED_NAME - suffix.length) + suffix;
}
