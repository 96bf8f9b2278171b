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
import { invalid } from "@knarr/apimachinery/field-errors.ts";
import type { ObjectMeta } from "@knarr/apimachinery/generated/meta-v1.ts";
import { type FieldError, type StatusError, statusErrors } from "@knarr/apimachinery/status-error.ts";
import type { UserInfo } from "../authn/types.ts";
import { joinErrors } from "./rbac.ts";
import { selectorsOfReview, validateSelectors } from "./selector-attributes.ts";
import type { Authorizer, AuthorizerAttributes, Decision, RuleResolver } from "./types.ts";

const GROUP = "authorization.k8s.io";
const RESOURCE_PATH = "spec.resourceAttributes";

/** Throws Invalid. The result is the request with its status filled. */
export async function reviewAccess(authorizer: Authorizer, review: SubjectAccessReview): Promise<SubjectAccessReview> {
  refuseIf("SubjectAccessReview", [
    ...validateSubjectSpec(review.spec),
    ...validateMetadata(review.metadata, "must be empty"),
  ]);
  return { ...review, status: await answer(authorizer, userOfSpec(review.spec), review.spec) };
}

/** As reviewAccess, within the namespace of the request, which fills the review's own. Throws Invalid and BadRequest. */
export async function reviewLocalAccess(
  authorizer: Authorizer,
  asked: LocalSubjectAccessReview,
  namespace: string,
): Promise<LocalSubjectAccessReview> {
  if ((asked.metadata.namespace ?? "") !== "" && asked.metadata.namespace !== namespace) {
    throw statusErrors.badRequest(
      "the namespace of the provided object does not match the namespace sent on the request",
    );
  }
  const review = { ...asked, metadata: { ...asked.metadata, namespace } };
  const { namespace: _filled, ...rest } = review.metadata;
  const errors = [...validateSubjectSpec(review.spec), ...validateMetadata(rest, "must be empty except for namespace")];
  const { resourceAttributes, nonResourceAttributes } = review.spec;
  if (resourceAttributes !== undefined && (resourceAttributes.namespace ?? "") !== namespace) {
    const path = "spec.resourceAttributes.namespace";
    errors.push(invalid(path, resourceAttributes.namespace ?? "", "must match metadata.namespace"));
  }
  if (nonResourceAttributes !== undefined) {
    errors.push(invalid("spec.nonResourceAttributes", nonResourceAttributes, "disallowed on this kind of request"));
  }
  refuseIf("LocalSubjectAccessReview", errors);
  return { ...review, status: await answer(authorizer, userOfSpec(review.spec), review.spec) };
}

export async function reviewOwnAccess(
  authorizer: Authorizer,
  review: SelfSubjectAccessReview,
  user: UserInfo,
): Promise<SelfSubjectAccessReview> {
  refuseIf("SelfSubjectAccessReview", [
    ...validateOwnSpec(review.spec),
    ...validateMetadata(review.metadata, "must be empty"),
  ]);
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
  const { question, unread } = questionOf(user, targets);
  return statusOf(await authorizer.authorize(question), unread);
}

function statusOf(decision: Decision, unread: readonly string[]): SubjectAccessReviewStatus {
  const { verdict, reason, evaluationError } = decision;
  const errors = evaluationError === undefined ? unread : [evaluationError, ...unread];
  return {
    allowed: verdict === "allowed",
    ...(verdict === "denied" ? { denied: true } : {}),
    ...(reason === "" ? {} : { reason }),
    ...(errors.length === 0 ? {} : { evaluationError: errors.join("; ") }),
  };
}

interface Question {
  readonly question: AuthorizerAttributes;
  /** What of its selectors could not be read. */
  readonly unread: readonly string[];
}

function questionOf(user: UserInfo, { resourceAttributes, nonResourceAttributes }: Targets): Question {
  if (resourceAttributes === undefined) {
    const { verb = "", path = "" } = nonResourceAttributes ?? {};
    return { question: { kind: "nonResource", user, verb, path }, unread: [] };
  }
  const { verb, group, version, resource, subresource, namespace, name } = resourceAttributes;
  const { unread, ...selectors } = selectorsOfReview(resourceAttributes);
  const question: AuthorizerAttributes = {
    kind: "resource",
    user,
    verb: verb ?? "",
    apiGroup: group ?? "",
    apiVersion: (version ?? "") === "" ? "*" : (version as string),
    resource: resource ?? "",
    subresource: subresource ?? "",
    namespace: namespace ?? "",
    name: name ?? "",
    ...selectors,
  };
  return { question, unread };
}

function userOfSpec(spec: SubjectAccessReviewSpec): UserInfo {
  return { name: spec.user ?? "", uid: spec.uid ?? "", groups: spec.groups ?? [], extra: spec.extra ?? {} };
}

function validateSubjectSpec(spec: SubjectAccessReviewSpec): FieldError[] {
  const { user = "", groups = [] } = spec;
  const isNobody = user === "" && groups.length === 0;
  const errors = isNobody ? [invalid("spec.user", "", "at least one of user or group must be specified")] : [];
  return [...validateTargets(spec), ...errors, ...validateSelectors(spec.resourceAttributes, RESOURCE_PATH)];
}

function validateOwnSpec(spec: Targets): FieldError[] {
  return [...validateTargets(spec), ...validateSelectors(spec.resourceAttributes, RESOURCE_PATH)];
}

function validateTargets({ resourceAttributes, nonResourceAttributes }: Targets): FieldError[] {
  if (resourceAttributes !== undefined && nonResourceAttributes !== undefined) {
    const why = "cannot be specified in combination with resourceAttributes";
    return [invalid("spec.nonResourceAttributes", nonResourceAttributes, why)];
  }
  if (resourceAttributes === undefined && nonResourceAttributes === undefined) {
    const why = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
    return [invalid(RESOURCE_PATH, null, why)];
  }
  return [];
}

/** Nothing is stored, so there is nothing to name. The server's own record of who wrote the fields does not count. */
function validateMetadata({ managedFields: _, ...meta }: ObjectMeta, why: string): FieldError[] {
  return Object.keys(meta).length === 0 ? [] : [invalid("metadata", meta, why)];
}

function refuseIf(kind: string, errors: readonly FieldError[]): void {
  if (errors.length > 0) throw statusErrors.invalid(GROUP, kind, "", errors) satisfies StatusError;
}
