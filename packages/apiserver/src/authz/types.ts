/**
 * Who may do what. Owns the vocabulary of authorisation: the question, the answer, and the interface that every authorizer has.
 * Source: k8s.io/apiserver/pkg/authorization/authorizer
 */
import type { PolicyRule } from "@knarr/api/generated/types/rbac-v1.ts";
import type { UserInfo } from "../authn/types.ts";

/** A question about a resource. "" stands for absent; "*" is used by access reviews for "all". */
export interface ResourceAttributes {
  readonly kind: "resource";
  readonly user: UserInfo;
  /** get, list, watch, create, update, patch, delete, deletecollection, or a verb of its own kind: bind, escalate, use, impersonate ... */
  readonly verb: string;
  readonly apiGroup: string;
  readonly apiVersion: string;
  readonly resource: string;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
  /** Requirements of the request's field and label selectors, for authorizers that narrow by them (KEP-4601); absent: none. */
  readonly fieldSelector?: readonly SelectorRequirement[];
  readonly labelSelector?: readonly SelectorRequirement[];
}

export interface SelectorRequirement {
  readonly key: string;
  readonly operator: string;
  readonly values: readonly string[];
}

/** A question about a path that is no resource: /metrics, /healthz, /api. */
export interface NonResourceAttributes {
  readonly kind: "nonResource";
  readonly user: UserInfo;
  /** The HTTP method in lower case. */
  readonly verb: string;
  readonly path: string;
}

export type AuthorizerAttributes = ResourceAttributes | NonResourceAttributes;

/** `denied` ends the question; `no-opinion` passes it on, and is a refusal if nobody allows. */
export type Verdict = "allowed" | "denied" | "no-opinion";

export interface Decision {
  readonly verdict: Verdict;
  /** Why, as upstream words it: `RBAC: allowed by ClusterRoleBinding "x" of ClusterRole "y" to User "z"`. "" if there is nothing to say. */
  readonly reason: string;
  /** What went wrong while deciding (a binding that names a role that is gone); goes to evaluationError. */
  readonly evaluationError?: string;
  /** The authorizer has not loaded what it decides by: the same request may be allowed in a moment, so it is no refusal. */
  readonly notLoaded?: true;
}

/** Decides at once where it decides from views in memory, and later where it must ask another service. Never throws. */
export interface Authorizer {
  authorize(attributes: AuthorizerAttributes): Decision | Promise<Decision>;
}

/** What a user may do, as rules (SelfSubjectRulesReview, and the checks that nobody grants more than they have). */
export interface UserRules {
  readonly rules: readonly PolicyRule[];
  /** Some of what the user may do cannot be told as rules. */
  readonly incomplete: boolean;
  readonly errors: readonly string[];
}

export interface RuleResolver {
  /** Rules that hold in `namespace`, cluster-wide ones included; "" for cluster-wide ones only. */
  rulesFor(user: UserInfo, namespace: string): UserRules;
}
