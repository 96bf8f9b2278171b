/** The reviews: questions about identity and authorisation, answered and never stored. */
import type { SelfSubjectReview, TokenReview } from "@knarr/api/generated/types/authentication-v1.ts";
import type {
  LocalSubjectAccessReview,
  SelfSubjectAccessReview,
  SelfSubjectRulesReview,
  SubjectAccessReview,
} from "@knarr/api/generated/types/authorization-v1.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { reviewSelf, reviewToken } from "../authn/token-review.ts";
import { reviewAccess, reviewLocalAccess, reviewOwnAccess, reviewOwnRules } from "../authz/access-review.ts";
import { readBody } from "../http/body.ts";
import { representationFor } from "../http/media-type.ts";
import { representBytes } from "../http/represent.ts";
import { sendBytes } from "../http/respond.ts";
import { decodeObject } from "../verbs/decode.ts";
import type { ResourceRequest } from "../verbs/environment.ts";
import { encodeForWire } from "../verbs/object-codec.ts";
import { warn } from "../verbs/pipeline.ts";
import { parseWriteOptions } from "../verbs/write-options.ts";

/** Decodes the review, answers it, sends it back. A review has no table: asking for one is 406. */
function review<T>(answer: (request: ResourceRequest, asked: T) => Promise<T> | T) {
  return async (request: ResourceRequest): Promise<void> => {
    const { context, resource } = request;
    const representation = representationFor(context, { transforms: [] });
    const options = parseWriteOptions(context.query, "CreateOptions");
    const body = await readBody(context);
    const { descriptor } = resource;
    const decoded = decodeObject(descriptor, body, context.header("content-type"), options.fieldValidation);
    for (const text of decoded.warnings) warn(request, text);
    const answered = await answer(request, decoded.object as T);
    const shown = representBytes(encodeForWire(descriptor, answered as KubeObject), representation);
    await sendBytes(context, 201, shown.body, { contentType: shown.contentType });
  };
}

export const tokenReview = review<TokenReview>(({ env }, asked) =>
  reviewToken(env.security.tokens, asked, env.security.audiences),
);
export const selfSubjectReview = review<SelfSubjectReview>(({ user }, asked) => reviewSelf(asked, user));
export const subjectAccessReview = review<SubjectAccessReview>(({ env }, asked) => reviewAccess(env.authorizer, asked));
export const localSubjectAccessReview = review<LocalSubjectAccessReview>(({ env, namespace }, asked) =>
  reviewLocalAccess(env.authorizer, asked, namespace),
);
export const selfSubjectAccessReview = review<SelfSubjectAccessReview>(({ env, user }, asked) =>
  reviewOwnAccess(env.authorizer, asked, user),
);
export const selfSubjectRulesReview = review<SelfSubjectRulesReview>(({ env, user }, asked) =>
  reviewOwnRules(env.security.authorizer, asked, user),
);
