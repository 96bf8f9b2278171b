/**
 * Every image is pulled each time, so that nobody runs a private image only because it is on the node already.
 * Source: k8s.io/kubernetes/plugin/pkg/admission/alwayspullimages
 */
import { core } from "@knarr/api/generated/resources.ts";
import type { Container, Pod } from "@knarr/api/generated/types/core-v1.ts";
import { aggregate } from "./limit-ranger.ts";
import { type AdmissionAttributes, type AdmissionPlugin, admissionForbidden, isFor } from "./plugin.ts";

export const alwaysPullImages: AdmissionPlugin = {
  name: "AlwaysPullImages",
  admit(attributes) {
    if (!applies(attributes)) return;
    const { spec } = attributes.object as Pod;
    for (const [, container] of containersOf(attributes.object as Pod)) container.imagePullPolicy = "Always";
    for (const volume of spec?.volumes ?? []) if (volume.image !== undefined) volume.image.pullPolicy = "Always";
  },
  validate(attributes) {
    if (!applies(attributes)) return;
    const unsupported = (path: string, policy: string) =>
      policy === "Always" ? [] : [`${path}: Unsupported value: ${JSON.stringify(policy)}: supported values: "Always"`];
    const pod = attributes.object as Pod;
    const complaints = [
      ...containersOf(pod).flatMap(([path, c]) => unsupported(`${path}.imagePullPolicy`, c.imagePullPolicy ?? "")),
      ...(pod.spec?.volumes ?? []).flatMap(({ image }, i) =>
        image === undefined ? [] : unsupported(`spec.volumes[${i}].image.pullPolicy`, image.pullPolicy ?? ""),
      ),
    ];
    if (complaints.length > 0) throw admissionForbidden(attributes, aggregate(complaints));
  },
};

function applies(attributes: AdmissionAttributes): boolean {
  const { operation } = attributes;
  if (!isFor(attributes, core.pods) || (operation !== "CREATE" && operation !== "UPDATE")) return false;
  return operation === "CREATE" || bringsImages(attributes.object as Pod, attributes.oldObject as Pod);
}

/** Updates that bring no new image may keep what pods had before the plugin was on. */
function bringsImages(pod: Pod, old: Pod): boolean {
  const before = new Set(containersOf(old).map(([, container]) => container.image));
  return containersOf(pod).some(([, container]) => !before.has(container.image));
}

function containersOf({ spec }: Pod): (readonly [string, Pick<Container, "image" | "imagePullPolicy">])[] {
  return [
    ...(spec?.initContainers ?? []).map((c, i) => [`spec.initContainers[${i}]`, c] as const),
    ...(spec?.containers ?? []).map((c, i) => [`spec.containers[${i}]`, c] as const),
    ...(spec?.ephemeralContainers ?? []).map((c, i) => [`spec.ephemeralContainers[${i}]`, c] as const),
  ];
}
