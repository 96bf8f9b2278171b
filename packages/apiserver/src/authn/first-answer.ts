/** Asks one way of authentication after the other until one knows the credentials. At once, as long as each of them answers at once. */
import { type Authentication, AuthenticationError, type MaybeLater } from "./types.ts";

type Answer = MaybeLater<Authentication | undefined>;

/** The first answer that is not undefined. Wrong credentials count only if nobody accepts: an AuthenticationError with all their texts. */
export function firstAnswer<M>(members: readonly M[], ask: (member: M) => Answer): Answer {
  return askFrom(members, ask, 0, undefined);
}

function askFrom<M>(
  members: readonly M[],
  ask: (member: M) => Answer,
  from: number,
  refusals: readonly string[] | undefined,
): Answer {
  let refused = refusals;
  for (let index = from; index < members.length; index++) {
    let answer: Answer;
    try {
      answer = ask(members[index] as M);
    } catch (error) {
      refused = withRefusal(refused, error);
      continue;
    }
    if (answer instanceof Promise) {
      return answer.then(
        (found) => found ?? askFrom(members, ask, index + 1, refused),
        (error) => askFrom(members, ask, index + 1, withRefusal(refused, error)),
      );
    }
    if (answer !== undefined) return answer;
  }
  if (refused === undefined) return undefined;
  throw new AuthenticationError(refused.length === 1 ? refused[0] : `[${refused.join(", ")}]`);
}

/** Throws what is no refusal. */
function withRefusal(refusals: readonly string[] = [], error: unknown): readonly string[] {
  if (!(error instanceof AuthenticationError)) throw error;
  return [...refusals, error.message];
}
