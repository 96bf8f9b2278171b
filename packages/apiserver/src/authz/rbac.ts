/**
 * The RBAC authorizer: allowed if any rule of any role bound to the user or one of their groups allows it. It never denies.
 * Source: docs reference/access-authn-authz/rbac; reasons after k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac
 */
import type { PolicyRule } from "@knarr/api/generated/types/rbac-v1.ts";
import type { UserInfo } from "../authn/types.ts";
import { describeGrant, RbacIndex, type RbacViews } from "./rbac-index.ts";
import type { Authorizer, AuthorizerAttributes, Decision, RuleResolver, UserRules } from "./types.ts";

export class RbacAuthorizer implements Authorizer, RuleResolver {
  readonly #index: RbacIndex;

  constructor(views: RbacViews) {
    this.#index = new RbacIndex(views);
  }

  /** Whether the RBAC objects are loaded; before that nothing is allowed. */
  get synced(): boolean {
    return this.#index.synced;
  }

  authorize(attributes: AuthorizerAttributes): Decision {
    const namespace = attributes.kind === "resource" ? attributes.namespace : "";
    const errors: string[] = [];
    for (const grant of this.#index.grantsFor(attributes.user, namespace)) {
      const role = this.#index.rulesOf(grant.binding.roleRef, grant.namespace);
      if (!role.found) {
        errors.push(role.error);
      } else if (role.rules.some((rule) => rule.allows(attributes))) {
        return { verdict: "allowed", reason: `RBAC: allowed by ${describeGrant(grant)}` };
      }
    }
    if (!this.#index.synced)
      return { verdict: "no-opinion", reason: "RBAC: the roles are not loaded yet", notLoaded: true };
    return { verdict: "no-opinion", reason: errors.length === 0 ? "" : `RBAC: ${joinErrors(errors)}` };
  }

  rulesFor(user: UserInfo, namespace: string): UserRules {
    const rules: PolicyRule[] = [];
    const errors: string[] = [];
    for (const grant of this.#index.grantsFor(user, namespace)) {
      const role = this.#index.rulesOf(grant.binding.roleRef, grant.namespace);
      if (role.found) rules.push(...role.rules.map((rule) => rule.source));
      else errors.push(role.error);
    }
    return { rules, incomplete: false, errors };
  }

  /** The rules of a role reference, to check that whoever binds it holds them; undefined if there is no such role. */
  roleRules(
    ref: { readonly kind: string; readonly name: string },
    namespace: string,
  ): readonly PolicyRule[] | undefined {
    const role = this.#index.rulesOf({ apiGroup: "rbac.authorization.k8s.io", ...ref }, namespace);
    return role.found ? role.rules.map((rule) => rule.source) : undefined;
  }
}

/** As Go's aggregated errors print: one alone, several in brackets, none twice. */
export function joinErrors(errors: readonly string[]): string {
  const different = [...new Set(errors)];
  return different.length === 1 ? (different[0] as string) : `[${different.join(", ")}]`;
}
