/** Reviews of authentication: created to be answered, never stored. */
import { defineKind } from "../../define-kind.ts";
import { authentication } from "../../generated/resources.ts";
import type { SelfSubjectReview, TokenReview } from "../../generated/types/authentication-v1.ts";
import { subdomainName } from "../../validation/names.ts";

const virtual = { verbs: ["create"], prefix: "", nameRule: subdomainName } as const;

/** Source: pkg/registry/authentication/tokenreview; an empty token is a bad request there. */
export const tokenReviewKind = defineKind<TokenReview>({ ref: authentication.tokenreviews, ...virtual });

export const selfSubjectReviewKind = defineKind<SelfSubjectReview>({
  ref: authentication.selfsubjectreviews,
  ...virtual,
});
