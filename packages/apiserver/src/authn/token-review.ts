/**
 * TokenReview and SelfSubjectReview: authentication's answers as objects. The handler decodes and encodes.
 * Source: k8s.io/kubernetes/pkg/registry/authentication
 */
import type {
  UserInfo as ReviewedUser,
  SelfSubjectReview,
  TokenReview,
} from "@knarr/api/generated/types/authentication-v1.ts";
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import { withAuthenticatedGroup } from "./request-authenticator.ts";
import { AuthenticationError, type TokenAuthenticator, type UserInfo } from "./types.ts";

/** Judges a token. Wrong tokens are an answer, not an error. Throws BadRequest without one. */
export async function reviewToken(
  tokens: TokenAuthenticator,
  review: TokenReview,
  serverAudiences: readonly string[],
): Promise<TokenReview> {
  if (review.spec.token === undefined || review.spec.token === "") {
    throw statusErrors.badRequest("token is required for TokenReview in authentication");
  }
  const audiences = review.spec.audiences ?? [];
  const wanted = audiences.length === 0 ? serverAudiences : audiences;
  try {
    const found = await tokens.authenticateToken(review.spec.token, wanted);
    if (found === undefined) {
      return { ...review, status: { user: {}, error: "[invalid bearer token, token lookup failed]" } };
    }
    const { user, audiences: accepted = [] } = withAuthenticatedGroup(found);
    return { ...review, status: { authenticated: true, user: reviewedUser(user), audiences: [...accepted] } };
  } catch (error) {
    if (!(error instanceof AuthenticationError)) throw error;
    return { ...review, status: { user: {}, error: `[invalid bearer token, ${error.message}]` } };
  }
}

/** Who the server takes the requester for. */
export function reviewSelf(review: SelfSubjectReview, user: UserInfo): SelfSubjectReview {
  return { ...review, status: { userInfo: reviewedUser(user) } };
}

function reviewedUser({ name, uid, groups, extra }: UserInfo): ReviewedUser {
  return {
    username: name,
    ...(uid === "" ? {} : { uid }),
    ...(groups.length === 0 ? {} : { groups: [...groups] }),
    ...(Object.keys(extra).length === 0
      ? {}
      : { extra: Object.fromEntries(Object.entries(extra).map(([key, values]) => [key, [...values]])) }),
  };
}
