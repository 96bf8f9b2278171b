/** Rules of metadata that hold for every object. Source: k8s.io/apimachinery/pkg/api/validation objectmeta.go */
import type { LabelSelector, ObjectMeta, OwnerReference } from "@knarr/apimachinery/generated/meta-v1.ts";
import { isDns1123Label, isLabelValue, isQualifiedName } from "@knarr/apimachinery/name-validation.ts";
import type { FieldError } from "@knarr/apimachinery/status-error.ts";
import { deepEqual } from "../deep-equal.ts";
import { collect, type FieldErrors } from "./field-errors.ts";
import type { NameRule } from "./names.ts";

export const immutable = "field is immutable";

const annotationsLimitBytes = 256 * 1024;
const fieldManagerLimitBytes = 128;
const subresourceLimitBytes = 256;

export function validateLabels(errors: FieldErrors, path: string, labels: Record<string, string> | undefined): void {
  for (const [key, value] of Object.entries(labels ?? {})) {
    errors.invalidAll(path, key, isQualifiedName(key));
    errors.invalidAll(path, value, isLabelValue(value));
  }
}

function byteLength(text: string): number {
  return new TextEncoder().encode(text).length;
}

export function validateAnnotations(
  errors: FieldErrors,
  path: string,
  annotations: Record<string, string> | undefined,
): void {
  let length = 0;
  for (const [key, value] of Object.entries(annotations ?? {})) {
    errors.invalidAll(path, key, isQualifiedName(key.toLowerCase()));
    length += key.length + value.length;
  }
  // No unit of UTF-16 takes more than three bytes: few objects need to be counted.
  if (length * 3 <= annotationsLimitBytes) return;
  const sizeBytes = Object.entries(annotations ?? {}).reduce((sum, pair) => sum + byteLength(pair.join("")), 0);
  if (sizeBytes > annotationsLimitBytes) errors.tooLong(path, annotationsLimitBytes);
}

function validateOwner(errors: FieldErrors, path: string, owner: OwnerReference): void {
  const apiVersion = owner.apiVersion ?? "";
  if (apiVersion.slice(apiVersion.indexOf("/") + 1) === "") {
    errors.invalid(`${path}.apiVersion`, apiVersion, "version must not be empty");
  }
  for (const field of ["kind", "name", "uid"] as const) {
    const value = owner[field] ?? "";
    if (value === "") errors.invalid(`${path}.${field}`, value, "must not be empty");
  }
  if (apiVersion === "v1" && owner.kind === "Event") {
    errors.invalid(path, owner, "/v1, Kind=Event is disallowed from being an owner");
  }
}

function validateOwners(errors: FieldErrors, path: string, owners: readonly OwnerReference[] | undefined): void {
  let controller: string | undefined;
  for (const owner of owners ?? []) {
    validateOwner(errors, path, owner);
    if (owner.controller !== true) continue;
    const name = `${owner.kind}/${owner.name}`;
    if (controller === undefined) controller = name;
    else {
      const detail = 'Only one reference can have Controller set to true. Found "true" in references for';
      errors.invalid(path, owners, `${detail} ${controller} and ${name}`);
    }
  }
}

function validateFinalizers(errors: FieldErrors, path: string, finalizers: readonly string[] | undefined): void {
  for (const finalizer of finalizers ?? []) errors.invalidAll(path, finalizer, isQualifiedName(finalizer));
  if (finalizers?.includes("orphan") && finalizers.includes("foregroundDeletion")) {
    errors.invalid(path, finalizers, "finalizer orphan and foregroundDeletion cannot be both set");
  }
}

function validateManagedFields(errors: FieldErrors, path: string, meta: ObjectMeta): void {
  for (const [i, entry] of (meta.managedFields ?? []).entries()) {
    const at = `${path}[${i}]`;
    if (entry.operation !== "Apply" && entry.operation !== "Update") {
      errors.invalid(`${at}.operation`, entry.operation ?? "", "must be `Apply` or `Update`");
    }
    if ((entry.fieldsType ?? "") !== "" && entry.fieldsType !== "FieldsV1") {
      errors.invalid(`${at}.fieldsType`, entry.fieldsType, "must be `FieldsV1`");
    }
    if (byteLength(entry.manager ?? "") > fieldManagerLimitBytes)
      errors.tooLong(`${at}.manager`, fieldManagerLimitBytes);
    if (byteLength(entry.subresource ?? "") > subresourceLimitBytes) {
      errors.tooLong(`${at}.subresource`, subresourceLimitBytes);
    }
  }
}

function validateNames(errors: FieldErrors, meta: ObjectMeta, rule: NameRule): void {
  if ((meta.generateName ?? "") !== "") {
    errors.invalidAll("metadata.generateName", meta.generateName, rule(meta.generateName ?? "", true));
  }
  if ((meta.name ?? "") === "") errors.required("metadata.name", "name or generateName is required");
  else errors.invalidAll("metadata.name", meta.name, rule(meta.name ?? "", false));
}

/** Metadata of an object that is being created, its name already generated. */
export function validateObjectMeta(meta: ObjectMeta, namespaced: boolean, rule: NameRule): FieldError[] {
  return collect((errors) => {
    validateNames(errors, meta, rule);
    const namespace = meta.namespace ?? "";
    if (!namespaced && namespace !== "") errors.forbidden("metadata.namespace", "not allowed on this type");
    else if (namespaced && namespace === "") errors.required("metadata.namespace");
    else if (namespaced) errors.invalidAll("metadata.namespace", namespace, isDns1123Label(namespace));
    if ((meta.generation ?? 0) < 0) {
      errors.invalid("metadata.generation", meta.generation, "must be greater than or equal to 0");
    }
    validateLabels(errors, "metadata.labels", meta.labels);
    validateAnnotations(errors, "metadata.annotations", meta.annotations);
    validateOwners(errors, "metadata.ownerReferences", meta.ownerReferences);
    validateFinalizers(errors, "metadata.finalizers", meta.finalizers);
    validateManagedFields(errors, "metadata.managedFields", meta);
  });
}

const frozenFields = [
  "name",
  "namespace",
  "uid",
  "creationTimestamp",
  "deletionTimestamp",
  "deletionGracePeriodSeconds",
] as const;

/** Go prints a list of strings this way in %#v. */
function goStrings(values: readonly string[]): string {
  return `[]string{${values.map((v) => JSON.stringify(v)).join(", ")}}`;
}

/** Metadata of an object that replaces `old`. */
export function validateObjectMetaUpdate(meta: ObjectMeta, old: ObjectMeta): FieldError[] {
  return collect((errors) => {
    if (old.deletionTimestamp !== undefined) {
      const added = (meta.finalizers ?? []).filter((f) => !old.finalizers?.includes(f)).sort();
      if (added.length > 0) {
        const detail = "no new finalizers can be added if the object is being deleted, found new finalizers";
        errors.forbidden("metadata.finalizers", `${detail} ${goStrings(added)}`);
      }
    }
    if ((meta.resourceVersion ?? "") === "") {
      errors.invalid("metadata.resourceVersion", "", "must be specified for an update");
    }
    if ((meta.generation ?? 0) < (old.generation ?? 0)) {
      errors.invalid("metadata.generation", meta.generation ?? 0, "must not be decremented");
    }
    for (const field of frozenFields) {
      if (!deepEqual(meta[field], old[field])) errors.invalid(`metadata.${field}`, meta[field] ?? "", immutable);
    }
    validateLabels(errors, "metadata.labels", meta.labels);
    validateAnnotations(errors, "metadata.annotations", meta.annotations);
    validateOwners(errors, "metadata.ownerReferences", meta.ownerReferences);
    validateManagedFields(errors, "metadata.managedFields", meta);
  });
}

/** `must not change` for a field that updates leave alone. */
export function validateImmutable(errors: FieldErrors, path: string, value: unknown, old: unknown): void {
  if (!deepEqual(value, old)) errors.invalid(path, value, immutable);
}

/** Source: k8s.io/apimachinery/pkg/apis/meta/v1/validation ValidateLabelSelector */
export function validateLabelSelector(errors: FieldErrors, path: string, selector: LabelSelector | undefined): void {
  if (selector === undefined) return;
  validateLabels(errors, `${path}.matchLabels`, selector.matchLabels);
  for (const [i, term] of (selector.matchExpressions ?? []).entries()) {
    const at = `${path}.matchExpressions[${i}]`;
    const values = term.values ?? [];
    if (term.operator === "In" || term.operator === "NotIn") {
      if (values.length === 0) errors.required(`${at}.values`, "must be specified when `operator` is 'In' or 'NotIn'");
    } else if (term.operator === "Exists" || term.operator === "DoesNotExist") {
      if (values.length > 0) {
        errors.forbidden(`${at}.values`, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
      }
    } else errors.invalid(`${at}.operator`, term.operator, "not a valid selector operator");
    errors.invalidAll(`${at}.key`, term.key, isQualifiedName(term.key));
    for (const [j, value] of values.entries()) errors.invalidAll(`${at}.values[${j}]`, value, isLabelValue(value));
  }
}
