/** Reviews of authorization: created to be answered, never stored. Source: k8s.io/kubernetes/pkg/apis/authorization/validation */
import { defineKind } from "../../define-kind.ts";
import { authorization } from "../../generated/resources.ts";
import type {
  LocalSubjectAccessReview,
  SelfSubjectAccessReview,
  SelfSubjectAccessReviewSpec,
  SelfSubjectRulesReview,
  SubjectAccessReview,
  SubjectAccessReviewSpec,
} from "../../generated/types/authorization-v1.ts";
import type { FieldErrors } from "../../validation/field-errors.ts";
import { subdomainName } from "../../validation/names.ts";

const virtual = { verbs: ["create"], prefix: "", nameRule: subdomainName } as const;

function validateAttributes(errors: FieldErrors, spec: SelfSubjectAccessReviewSpec): void {
  if (spec.resourceAttributes !== undefined && spec.nonResourceAttributes !== undefined) {
    errors.invalid(
      "spec.nonResourceAttributes",
      spec.nonResourceAttributes,
      "cannot be specified in combination with resourceAttributes",
    );
  }
  if (spec.resourceAttributes === undefined && spec.nonResourceAttributes === undefined) {
    errors.invalid(
      "spec.resourceAttributes",
      null,
      "exactly one of nonResourceAttributes or resourceAttributes must be specified",
    );
  }
}

function validateSubject(errors: FieldErrors, spec: SubjectAccessReviewSpec): void {
  validateAttributes(errors, spec);
  if ((spec.user ?? "") === "" && (spec.groups?.length ?? 0) === 0) {
    errors.invalid("spec.user", spec.user ?? "", "at least one of user or group must be specified");
  }
}

function validateEmptyMeta(errors: FieldErrors, metadata: object): void {
  const rest = Object.keys(metadata).filter(
    (key) => key !== "managedFields" && key !== "creationTimestamp" && key !== "uid",
  );
  if (rest.length > 0) errors.invalid("metadata", metadata, "must be empty");
}

export const subjectAccessReviewKind = defineKind<SubjectAccessReview>({
  ref: authorization.subjectaccessreviews,
  ...virtual,
  validate(errors, review) {
    validateSubject(errors, review.spec);
    validateEmptyMeta(errors, review.metadata);
  },
});

export const selfSubjectAccessReviewKind = defineKind<SelfSubjectAccessReview>({
  ref: authorization.selfsubjectaccessreviews,
  ...virtual,
  validate(errors, review) {
    validateAttributes(errors, review.spec);
    validateEmptyMeta(errors, review.metadata);
  },
});

export const localSubjectAccessReviewKind = defineKind<LocalSubjectAccessReview>({
  ref: authorization.localsubjectaccessreviews,
  ...virtual,
  validate(errors, review) {
    validateSubject(errors, review.spec);
    const attributes = review.spec.resourceAttributes;
    if (attributes !== undefined && attributes.namespace !== review.metadata.namespace) {
      errors.invalid("spec.resourceAttributes.namespace", attributes.namespace ?? "", "must match metadata.namespace");
    }
    if (review.spec.nonResourceAttributes !== undefined) {
      errors.invalid(
        "spec.nonResourceAttributes",
        review.spec.nonResourceAttributes,
        "disallowed on this kind of request",
      );
    }
  },
});

export const selfSubjectRulesReviewKind = defineKind<SelfSubjectRulesReview>({
  ref: authorization.selfsubjectrulesreviews,
  ...virtual,
});
