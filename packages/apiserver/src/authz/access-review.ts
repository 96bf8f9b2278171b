/**
 * SubjectAccessReview and its siblings: the authorizer's answer as an object. Pure over the authorizer; the handler decodes and encodes.
 * Source: k8s.io/kubernetes/pkg/registry/authorization
 */
import type {
  LocalSubjectAccessReview,
  NonResourceAttributes as ReviewedPath,
  ResourceAttributes as ReviewedResource,
  SelfSubjectAccessReview,
  SelfSubjectRulesReview,
  SubjectAccessReview,
  SubjectAccessReviewSpec,
  SubjectAccessReviewStatus,
} from "@knarr/api/generated/types/authorization-v1.ts";
import { type FieldError, type StatusError, statusErrors } from "@knarr/apimachinery/status-error.ts";
import type { UserInfo } from "../authn/types.ts";
import { joinErrors } from "./rbac.ts";
import type { Authorizer, AuthorizerAttributes, Decision, RuleResolver, SelectorRequirement } from "./types.ts";

const GROUP = "authorization.k8s.io";

/** Throws Invalid. The result is the request with its status filled. */
export async function reviewAccess(authorizer: Authorizer, review: SubjectAccessReview): Promise<SubjectAccessReview> {
  refuseIf("SubjectAccessReview", validateSubjectSpec(review.spec));
  return { ...review, status: await answer(authorizer, userOfSpec(review.spec), review.spec) };
}

/** As reviewAccess, within the namespace of the request. Throws Invalid and BadRequest. */
export async function reviewLocalAccess(
  authorizer: Authorizer,
  review: LocalSubjectAccessReview,
  namespace: string,
): Promise<LocalSubjectAccessReview> {
  const errors = validateSubjectSpec(review.spec);
  if (
    review.spec.resourceAttributes !== undefined &&
    review.spec.resourceAttributes.namespace !== review.metadata.namespace
  ) {
    errors.push(
      invalid(
        "spec.resourceAttributes.namespace",
        review.spec.resourceAttributes.namespace ?? "",
        "must match metadata.namespace",
      ),
    );
  }
  if (review.spec.nonResourceAttributes !== undefined) {
    errors.push(invalid("spec.nonResourceAttributes", null, "disallowed on this kind of request"));
  }
  refuseIf("LocalSubjectAccessReview", errors);
  if (namespace === "") throw statusErrors.badRequest("namespace is required on this type: ");
  if (review.metadata.namespace !== undefined && review.metadata.namespace !== namespace) {
    throw statusErrors.badRequest(`spec.resourceAttributes.namespace must match namespace: ${namespace}`);
  }
  return { ...review, status: await answer(authorizer, userOfSpec(review.spec), review.spec) };
}

export async function reviewOwnAccess(
  authorizer: Authorizer,
  review: SelfSubjectAccessReview,
  user: UserInfo,
): Promise<SelfSubjectAccessReview> {
  refuseIf("SelfSubjectAccessReview", validateTargets(review.spec));
  return { ...review, status: await answer(authorizer, user, review.spec) };
}

/** What the user may do in a namespace, as rules. Throws BadRequest. */
export function reviewOwnRules(
  resolver: RuleResolver,
  review: SelfSubjectRulesReview,
  user: UserInfo,
): SelfSubjectRulesReview {
  const namespace = review.spec.namespace ?? "";
  if (namespace === "") throw statusErrors.badRequest("no namespace on request");
  const { rules, incomplete, errors } = resolver.rulesFor(user, namespace);
  return {
    ...review,
    status: {
      resourceRules: rules
        .filter((rule) => (rule.resources ?? []).length > 0)
        .map(({ verbs, apiGroups, resources, resourceNames }) => ({
          verbs,
          apiGroups,
          resources,
          ...(resourceNames === undefined ? {} : { resourceNames }),
        })),
      nonResourceRules: rules
        .filter((rule) => (rule.nonResourceURLs ?? []).length > 0)
        .map(({ verbs, nonResourceURLs }) => ({ verbs, nonResourceURLs })),
      incomplete,
      ...(errors.length === 0 ? {} : { evaluationError: joinErrors(errors) }),
    },
  };
}

interface Targets {
  readonly resourceAttributes?: ReviewedResource | undefined;
  readonly nonResourceAttributes?: ReviewedPath | undefined;
}

async function answer(authorizer: Authorizer, user: UserInfo, targets: Targets): Promise<SubjectAccessReviewStatus> {
  return statusOf(await authorizer.authorize(questionOf(user, targets)));
}

function statusOf(decision: Decision): SubjectAccessReviewStatus {
  return {
    allowed: decision.verdict === "allowed",
    ...(decision.verdict === "denied" ? { denied: true } : {}),
    ...(decision.reason === "" ? {} : { reason: decision.reason }),
    ...(decision.evaluationError === undefined ? {} : { evaluationError: decision.evaluationError }),
  };
}

function questionOf(user: UserInfo, { resourceAttributes, nonResourceAttributes }: Targets): AuthorizerAttributes {
  if (resourceAttributes === undefined) {
    return {
      kind: "nonResource",
      user,
      verb: nonResourceAttributes?.verb ?? "",
      path: nonResourceAttributes?.path ?? "",
    };
  }
  const { verb, group, version, resource, subresource, namespace, name, fieldSelector, labelSelector } =
    resourceAttributes;
  return {
    kind: "resource",
    user,
    verb: verb ?? "",
    apiGroup: group ?? "",
    apiVersion: version ?? "*",
    resource: resource ?? "",
    subresource: subresource ?? "",
    namespace: namespace ?? "",
    name: name ?? "",
    ...(fieldSelector?.requirements === undefined ? {} : { fieldSelector: requirementsOf(fieldSelector.requirements) }),
    ...(labelSelector?.requirements === undefined ? {} : { labelSelector: requirementsOf(labelSelector.requirements) }),
  };
}

function requirementsOf(
  requirements: readonly { readonly key: string; readonly operator: string; readonly values?: string[] | undefined }[],
): readonly SelectorRequirement[] {
  return requirements.map(({ key, operator, values }) => ({ key, operator, values: values ?? [] }));
}

function userOfSpec(spec: SubjectAccessReviewSpec): UserInfo {
  return { name: spec.user ?? "", uid: spec.uid ?? "", groups: spec.groups ?? [], extra: spec.extra ?? {} };
}

function validateSubjectSpec(spec: SubjectAccessReviewSpec): FieldError[] {
  const errors = validateTargets(spec);
  if ((spec.user ?? "") === "" && (spec.groups ?? []).length === 0) {
    errors.push(invalid("spec.user", "", "at least one of user or group must be specified"));
  }
  return errors;
}

function validateTargets(targets: Targets): FieldError[] {
  const hasResource = targets.resourceAttributes !== undefined;
  const hasPath = targets.nonResourceAttributes !== undefined;
  if (hasResource && hasPath) {
    return [invalid("spec.nonResourceAttributes", null, "cannot be specified in combination with resourceAttributes")];
  }
  if (!hasResource && !hasPath) {
    return [
      invalid(
        "spec.resourceAttributes",
        null,
        "exactly one of nonResourceAttributes or resourceAttributes must be specified",
      ),
    ];
  }
  return [];
}

function invalid(field: string, value: unknown, why: string): FieldError {
  return { type: "FieldValueInvalid", field, message: `Invalid value: ${JSON.stringify(value)}: ${why}` };
}

function refuseIf(kind: string, errors: readonly FieldError[]): void {
  if (errors.length > 0) throw statusErrors.invalid(GROUP, kind, "", errors) satisfies StatusError;
}
