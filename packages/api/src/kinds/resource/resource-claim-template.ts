import { ageColumn, nameColumn } from "../../columns.ts";
import { defineKind } from "../../define-kind.ts";
import { resource } from "../../generated/resources.ts";
import type { ResourceClaimTemplate } from "../../generated/types/resource-v1.ts";
import { subdomainName } from "../../validation/names.ts";
import { validateAnnotations, validateImmutable, validateLabels } from "../../validation/object-meta.ts";
import { defaultClaimSpec, validateClaimSpec } from "./requests.ts";

/** Source: pkg/registry/resource/resourceclaimtemplate/strategy.go */
export const resourceClaimTemplateKind = defineKind<ResourceClaimTemplate>({
  ref: resource.resourceclaimtemplates,
  prefix: "/registry/resourceclaimtemplates",
  nameRule: subdomainName,
  default: (template) => defaultClaimSpec(template.spec.spec),
  validate(errors, { spec }, old) {
    if (old !== undefined) return;
    validateLabels(errors, "spec.metadata.labels", spec.metadata?.labels);
    validateAnnotations(errors, "spec.metadata.annotations", spec.metadata?.annotations);
    validateClaimSpec(errors, "spec.spec", spec.spec);
  },
  validateUpdate: (errors, template, old) => validateImmutable(errors, "spec", template.spec, old.spec),
  columns: [nameColumn(), ageColumn()],
});
