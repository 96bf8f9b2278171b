import { isDns1123Subdomain } from "@knarr/apimachinery/name-validation.ts";
import { ageColumn, nameColumn, textColumn } from "../../columns.ts";
import { deepEqual } from "../../deep-equal.ts";
import { bumpGeneration, defineKind } from "../../define-kind.ts";
import { networking } from "../../generated/resources.ts";
import type { IngressClass } from "../../generated/types/networking-v1.ts";
import { requireText, validateOneOf } from "../../validation/common.ts";
import { labelName, pathSegmentName, subdomainName } from "../../validation/names.ts";

/** "ingressparameters.example.com/name" */
function parametersText(object: IngressClass): string {
  const parameters = object.spec?.parameters;
  if (parameters === undefined) return "<none>";
  const group = parameters.apiGroup === undefined ? "" : `.${parameters.apiGroup}`;
  return `${parameters.kind}${group}/${parameters.name}`;
}

/** Source: pkg/registry/networking/ingressclass/strategy.go, ValidateIngressClass */
export const ingressClassKind = defineKind<IngressClass>({
  ref: networking.ingressclasses,
  prefix: "/registry/ingressclasses",
  nameRule: subdomainName,
  default(object) {
    const parameters = object.spec?.parameters;
    if (parameters !== undefined) parameters.scope ??= "Cluster";
  },
  prepareForCreate(object) {
    object.metadata.generation = 1;
  },
  prepareForUpdate(object, old) {
    if (!deepEqual(object.spec, old.spec)) bumpGeneration(object, old);
  },
  validate(errors, object) {
    const controller = object.spec?.controller ?? "";
    if (controller.length > 250) errors.tooLong("spec.controller", 250);
    const [domain = "", path = ""] = controller.split("/", 2);
    if (requireText(errors, "spec.controller", controller)) {
      if (domain === "" || path === "") {
        errors.invalid("spec.controller", controller, 'must be a domain-prefixed path (such as "acme.io/foo")');
      } else errors.invalidAll("spec.controller", domain, isDns1123Subdomain(domain));
    }
    const parameters = object.spec?.parameters;
    if (parameters === undefined) return;
    if (parameters.apiGroup !== undefined) {
      errors.invalidAll("spec.parameters.apiGroup", parameters.apiGroup, isDns1123Subdomain(parameters.apiGroup));
    }
    for (const field of ["kind", "name"] as const) {
      const value = parameters[field];
      if (requireText(errors, `spec.parameters.${field}`, value, `${field} is required`)) {
        errors.invalidAll(`spec.parameters.${field}`, value, pathSegmentName(value, false));
      }
    }
    validateOneOf(errors, "spec.parameters.scope", parameters.scope, ["Cluster", "Namespace"]);
    if (parameters.scope === "Namespace") {
      const { namespace } = parameters;
      if (requireText(errors, "spec.parameters.namespace", namespace, "`parameters.scope` is set to 'Namespace'")) {
        errors.invalidAll("spec.parameters.namespace", namespace, labelName(namespace, false));
      }
    } else if (parameters.namespace !== undefined) {
      errors.forbidden("spec.parameters.namespace", "`parameters.scope` is set to 'Cluster'");
    }
  },
  validateUpdate(errors, object, old) {
    if (object.spec?.controller !== old.spec?.controller) {
      errors.invalid("spec.controller", object.spec?.controller ?? "", "field is immutable");
    }
  },
  columns: [
    nameColumn(),
    textColumn("Controller", (object) => object.spec?.controller ?? ""),
    textColumn("Parameters", parametersText),
    ageColumn(),
  ],
});
