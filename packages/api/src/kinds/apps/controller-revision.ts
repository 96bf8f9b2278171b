import { controllerOf } from "@knarr/apimachinery/object.ts";
import { ageColumn, nameColumn, textColumn } from "../../columns.ts";
import { defineKind } from "../../define-kind.ts";
import { apps } from "../../generated/resources.ts";
import type { ControllerRevision } from "../../generated/types/apps-v1.ts";
import { validateNonNegative } from "../../validation/common.ts";
import { subdomainName } from "../../validation/names.ts";
import { validateImmutable } from "../../validation/object-meta.ts";

/** "deployment.apps/web" */
function controllerText(revision: ControllerRevision): string {
  const owner = controllerOf(revision);
  if (owner === undefined) return "<none>";
  const slash = owner.apiVersion.indexOf("/");
  const group = slash < 0 ? "" : `.${owner.apiVersion.slice(0, slash)}`;
  return `${owner.kind.toLowerCase()}${group}/${owner.name}`;
}

/** Its data never changes. Source: pkg/registry/apps/controllerrevision/strategy.go */
export const controllerRevisionKind = defineKind<ControllerRevision>({
  ref: apps.controllerrevisions,
  prefix: "/registry/controllerrevisions",
  nameRule: subdomainName,
  validate(errors, revision) {
    if (revision.data === undefined) errors.required("data", "data is mandatory");
    validateNonNegative(errors, "revision", revision.revision);
  },
  validateUpdate: (errors, revision, old) => validateImmutable(errors, "data", revision.data, old.data),
  columns: [
    nameColumn(),
    textColumn("Controller", controllerText),
    textColumn("Revision", (revision) => revision.revision),
    ageColumn(),
  ],
});
