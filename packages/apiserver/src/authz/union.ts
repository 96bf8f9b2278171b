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

  /** At once, unless a member has to ask elsewhere. */
  authorize(attributes: AuthorizerAttributes): Decision | Promise<Decision> {
    if (attributes.user.groups.includes(SYSTEM_MASTERS)) return ALLOWED;
    return this.#ask(attributes, 0, []);
  }

  #ask(attributes: AuthorizerAttributes, from: number, before: readonly Decision[]): Decision | Promise<Decision> {
    const decisions = [...before];
    for (let index = from; index < this.#members.length; index += 1) {
      const decision = this.#members[index]?.authorize(attributes);
      if (decision === undefined) continue;
      if (decision instanceof Promise) {
        return decision.then((late) =>
          late.verdict === "no-opinion" ? this.#ask(attributes, index + 1, [...decisions, late]) : late,
        );
      }
      if (decision.verdict !== "no-opinion") return decision;
      decisions.push(decision);
    }
    return noOpinion(decisions);
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

function noOpinion(decisions: readonly Decision[]): Decision {
  const errors = decisions.flatMap(({ evaluationError }) => evaluationError ?? []);
  return {
    verdict: "no-opinion",
    reason: decisions.flatMap(({ reason }) => (reason === "" ? [] : [reason])).join("\n"),
    ...(errors.length === 0 ? {} : { evaluationError: errors.join(", ") }),
    ...(decisions.some(({ notLoaded }) => notLoaded === true) ? { notLoaded: true as const } : {}),
  };
}

/** --authorization-mode=AlwaysAllow */
export const alwaysAllow = {
  authorize: () => ALLOWED,
  rulesFor: () => ({
    rules: [
      { verbs: ["*"], apiGroups: ["*"], resources: ["*"] },
      { verbs: ["*"], nonResourceURLs: ["*"] },
    ],
    incomplete: false,
    errors: [],
  }),
} satisfies Authorizer & RuleResolver;

/** --authorization-mode=AlwaysDeny */
export const alwaysDeny: Authorizer & RuleResolver = {
  authorize: () => ({ verdict: "no-opinion", reason: "Everything is forbidden." }),
  rulesFor: () => ({ rules: [], incomplete: false, errors: [] }),
};
