/**
 * Several authorizers as one: asked in order, the first that allows or denies decides. Members of system:masters are asked nobody about.
 * Source: k8s.io/apiserver/pkg/authorization/{union,authorizerfactory}
 */
import { SYSTEM_MASTERS, type UserInfo } from "../authn/types.ts";
import type { Authorizer, AuthorizerAttributes, Decision, RuleResolver, UserRules } from "./types.ts";

const ALLOWED: Decision = { verdict: "allowed", reason: "" };

export class UnionAuthorizer implements Authorizer, RuleResolver {
  readonly #members: readonly (Authorizer & RuleResolver)[];

  constructor(members: readonly (Authorizer & RuleResolver)[]) {
    this.#members = members;
  }

  authorize(attributes: AuthorizerAttributes): Decision {
    if (attributes.user.groups.includes(SYSTEM_MASTERS)) return ALLOWED;
    const reasons: string[] = [];
    const errors: string[] = [];
    let notLoaded = false;
    for (const member of this.#members) {
      const decision = member.authorize(attributes);
      if (decision.evaluationError !== undefined) errors.push(decision.evaluationError);
      if (decision.verdict !== "no-opinion") return decision;
      if (decision.reason !== "") reasons.push(decision.reason);
      if (decision.notLoaded === true) notLoaded = true;
    }
    return {
      verdict: "no-opinion",
      reason: reasons.join("\n"),
      ...(errors.length === 0 ? {} : { evaluationError: errors.join(", ") }),
      ...(notLoaded ? { notLoaded } : {}),
    };
  }

  rulesFor(user: UserInfo, namespace: string): UserRules {
    const all = this.#members.map((member) => member.rulesFor(user, namespace));
    return {
      rules: all.flatMap((one) => one.rules),
      incomplete: all.some((one) => one.incomplete),
      errors: all.flatMap((one) => one.errors),
    };
  }
}

/** --authorization-mode=AlwaysAllow */
export const alwaysAllow: Authorizer & RuleResolver = {
  authorize: () => ALLOWED,
  rulesFor: () => ({
    rules: [
      { verbs: ["*"], apiGroups: ["*"], resources: ["*"] },
      { verbs: ["*"], nonResourceURLs: ["*"] },
    ],
    incomplete: false,
    errors: [],
  }),
};

/** --authorization-mode=AlwaysDeny */
export const alwaysDeny: Authorizer & RuleResolver = {
  authorize: () => ({ verdict: "no-opinion", reason: "Everything is forbidden." }),
  rulesFor: () => ({ rules: [], incomplete: false, errors: [] }),
};
