/**
 * Ingresses without a class get the default one: the newest of those marked so.
 * Source: k8s.io/kubernetes/plugin/pkg/admission/network/defaultingressclass
 */
import { networking } from "@knarr/api/generated/resources.ts";
import type { Ingress } from "@knarr/api/generated/types/networking-v1.ts";
import { newest } from "./default-storage-class.ts";
import { type AdmissionPlugin, isFor } from "./plugin.ts";

const CLASS = "kubernetes.io/ingress.class";
const MARKS = ["ingressclass.kubernetes.io/is-default-class"];

export const defaultIngressClass: AdmissionPlugin = {
  name: "DefaultIngressClass",
  async admit(attributes, env) {
    if (attributes.operation !== "CREATE" || !isFor(attributes, networking.ingresses)) return;
    const ingress = attributes.object as Ingress;
    if (ingress.spec?.ingressClassName !== undefined) return;
    if (ingress.metadata.annotations?.[CLASS] !== undefined) return;
    const name = newest(await env.lookup.list(networking.ingressclasses), MARKS);
    if (name !== undefined) ingress.spec = { ...ingress.spec, ingressClassName: name };
  },
};
