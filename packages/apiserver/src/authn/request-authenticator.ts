/**
 * Who sent a request: client certificate, then bearer token; failing both, anonymous - unless wrong credentials were shown, which is 401.
 * Source: k8s.io/kubernetes/pkg/kubeapiserver/authenticator/config.go; k8s.io/apiserver/pkg/authentication/request/union
 */
import type { AnonymousSettings } from "./authentication-configuration.ts";
import { firstAnswer } from "./first-answer.ts";
import {
  ALL_AUTHENTICATED,
  ALL_UNAUTHENTICATED,
  ANONYMOUS,
  type Authentication,
  type Authenticator,
  type Credentials,
  type MaybeLater,
  type UserInfo,
} from "./types.ts";

const ANYBODY: Authentication = Object.freeze({
  user: Object.freeze({ name: ANONYMOUS, uid: "", groups: [ALL_UNAUTHENTICATED], extra: {} }),
});

export class RequestAuthenticator implements Authenticator {
  readonly #members: readonly Authenticator[];
  readonly #anonymous: () => AnonymousSettings;

  constructor(
    members: readonly Authenticator[],
    options: { readonly anonymous: boolean | AnonymousSettings | (() => AnonymousSettings) },
  ) {
    this.#members = members;
    const { anonymous } = options;
    if (typeof anonymous === "function") this.#anonymous = anonymous;
    else {
      const fixed = typeof anonymous === "boolean" ? { enabled: anonymous, paths: undefined } : anonymous;
      this.#anonymous = () => fixed;
    }
  }

  /** Undefined without credentials where anonymous is off; throws AuthenticationError for wrong ones. Both are 401. */
  authenticate(credentials: Credentials, signal?: AbortSignal): MaybeLater<Authentication | undefined> {
    const found = firstAnswer(this.#members, (member) => member.authenticate(credentials, signal));
    if (!(found instanceof Promise)) return this.#known(found, credentials);
    return found.then((late) => this.#known(late, credentials));
  }

  #known(found: Authentication | undefined, { path = "" }: Credentials): Authentication | undefined {
    if (found !== undefined) return withAuthenticatedGroup(found);
    const { enabled, paths } = this.#anonymous();
    return enabled && (paths === undefined || paths.includes(path)) ? ANYBODY : undefined;
  }
}

/** Users are made once and come with every request. */
const withGroup = new WeakMap<UserInfo, UserInfo>();

/** Everyone who proved who they are is of system:authenticated. */
export function withAuthenticatedGroup(authentication: Authentication): Authentication {
  const { user } = authentication;
  if (user.groups.includes(ALL_AUTHENTICATED) || user.groups.includes(ALL_UNAUTHENTICATED)) return authentication;
  let grouped = withGroup.get(user);
  if (grouped === undefined) {
    grouped = Object.freeze({ ...user, groups: Object.freeze([...user.groups, ALL_AUTHENTICATED]) });
    withGroup.set(user, grouped);
  }
  return { ...authentication, user: grouped };
}
