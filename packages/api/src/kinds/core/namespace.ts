import { isQualifiedName } from "@knarr/apimachinery/name-validation.ts";
import { ageColumn, nameColumn, textColumn } from "../../columns.ts";
import { defineKind, statusOf } from "../../define-kind.ts";
import { core } from "../../generated/resources.ts";
import type { Namespace } from "../../generated/types/core-v1.ts";
import type { FieldErrors } from "../../validation/field-errors.ts";
import { labelName } from "../../validation/names.ts";

const nameLabel = "kubernetes.io/metadata.name";

/** Source: pkg/registry/core/namespace/strategy.go */
export const namespaceKind = defineKind<Namespace>({
  ref: core.namespaces,
  shortNames: ["ns"],
  verbs: ["create", "delete", "get", "list", "patch", "update", "watch"],
  subresources: [{ name: "finalize", kind: "Namespace", verbs: ["update"] }, statusOf("Namespace")],
  prefix: "/registry/namespaces",
  nameRule: labelName,
  generation: "none",
  selectable: { "status.phase": (ns) => ns.status?.phase ?? "", name: (ns) => ns.metadata.name ?? "" },
  default(ns) {
    // A generated name is not known yet; the handler defaults again once it is.
    const name = ns.metadata.name ?? "";
    if (name !== "") {
      ns.metadata.labels ??= {};
      ns.metadata.labels[nameLabel] = name;
    }
  },
  prepareForCreate(ns) {
    ns.status = { phase: "Active" };
    ns.spec ??= {};
    const finalizers = ns.spec.finalizers ?? [];
    if (!finalizers.includes("kubernetes")) ns.spec.finalizers = [...finalizers, "kubernetes"];
  },
  prepareForUpdate(ns, old, subresource) {
    // Finalizers of the spec change through /finalize only.
    if (subresource === "") ns.spec = { ...ns.spec, finalizers: old.spec?.finalizers };
    if (subresource === "finalize") ns.status = old.status;
  },
  validate(errors, ns) {
    validateFinalizers(errors, ns);
  },
  validateSubresource(errors, ns, _old, subresource) {
    if (subresource === "finalize") validateFinalizers(errors, ns);
    if (subresource !== "status") return;
    const phase = ns.status?.phase;
    const deleting = ns.metadata.deletionTimestamp !== undefined;
    if (!deleting && phase !== "Active") {
      errors.invalid("status.Phase", phase ?? "", "may only be 'Active' if `deletionTimestamp` is empty");
    }
    if (deleting && phase !== "Terminating") {
      errors.invalid("status.Phase", phase ?? "", "may only be 'Terminating' if `deletionTimestamp` is not empty");
    }
  },
  columns: [nameColumn(), textColumn("Status", (ns) => ns.status?.phase ?? ""), ageColumn()],
});

function validateFinalizers(errors: FieldErrors, ns: Namespace): void {
  for (const [i, finalizer] of (ns.spec?.finalizers ?? []).entries()) {
    const path = `spec.finalizers[${i}]`;
    errors.invalidAll(path, finalizer, isQualifiedName(finalizer));
    if (!finalizer.includes("/") && finalizer !== "kubernetes") {
      errors.invalid(path, finalizer, "name is neither a standard finalizer name nor is it fully qualified");
    }
  }
}
