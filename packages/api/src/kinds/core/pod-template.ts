import { containerColumns, formatLabels, nameColumn, textColumn } from "../../columns.ts";
import { deepEqual } from "../../deep-equal.ts";
import { bumpGeneration, defineKind } from "../../define-kind.ts";
import { core } from "../../generated/resources.ts";
import type { PodTemplate } from "../../generated/types/core-v1.ts";
import { subdomainName } from "../../validation/names.ts";
import { defaultPodTemplate } from "./pod-spec/defaults.ts";
import { validatePodTemplate } from "./pod-spec/validate.ts";

/** Source: pkg/registry/core/podtemplate/strategy.go */
export const podTemplateKind = defineKind<PodTemplate>({
  ref: core.podtemplates,
  prefix: "/registry/podtemplates",
  nameRule: subdomainName,
  default: (object) => defaultPodTemplate(object.template),
  prepareForCreate(object) {
    object.metadata.generation = 1;
  },
  prepareForUpdate(object, old) {
    if (!deepEqual(object.template, old.template)) bumpGeneration(object, old);
  },
  validate(errors, object) {
    if (object.template !== undefined) validatePodTemplate(errors, "template", object.template);
  },
  columns: [
    nameColumn(),
    ...containerColumns<PodTemplate>((object) => object.template).map((column) => ({ ...column, priority: 0 })),
    textColumn("Pod Labels", (object) => formatLabels(object.template?.metadata?.labels)),
  ],
});
