/**
 * Who sent a request: client certificate, then bearer token; failing both, anonymous - unless wrong credentials were shown, which is 401.
 * Source: k8s.io/kubernetes/pkg/kubeapiserver/authenticator/config.go; k8s.io/apiserver/pkg/authentication/request/union
 */
import {
  ALL_AUTHENTICATED,
  ALL_UNAUTHENTICATED,
  ANONYMOUS,
  type Authentication,
  AuthenticationError,
  type Authenticator,
  type Credentials,
  type UserInfo,
} from "./types.ts";

const anonymous: UserInfo = Object.freeze({ name: ANONYMOUS, uid: "", groups: [ALL_UNAUTHENTICATED], extra: {} });

export class RequestAuthenticator implements Authenticator {
  readonly #members: readonly Authenticator[];
  readonly #allowsAnonymous: boolean;

  constructor(members: readonly Authenticator[], options: { readonly anonymous: boolean }) {
    this.#members = members;
    this.#allowsAnonymous = options.anonymous;
  }

  /** Undefined without credentials where anonymous is off; throws AuthenticationError for wrong ones. Both are 401. */
  async authenticate(credentials: Credentials, signal?: AbortSignal): Promise<Authentication | undefined> {
    const errors: string[] = [];
    for (const member of this.#members) {
      try {
        const found = await member.authenticate(credentials, signal);
        if (found !== undefined) return withAuthenticatedGroup(found);
      } catch (error) {
        if (!(error instanceof AuthenticationError)) throw error;
        errors.push(error.message);
      }
    }
    if (errors.length > 0) throw new AuthenticationError(errors.length === 1 ? errors[0] : `[${errors.join(", ")}]`);
    return this.#allowsAnonymous ? { user: anonymous } : undefined;
  }
}

/** Everyone who proved who they are is of system:authenticated. */
export function withAuthenticatedGroup(authentication: Authentication): Authentication {
  const { user } = authentication;
  if (user.groups.includes(ALL_AUTHENTICATED) || user.groups.includes(ALL_UNAUTHENTICATED)) return authentication;
  return { ...authentication, user: Object.freeze({ ...user, groups: [...user.groups, ALL_AUTHENTICATED] }) };
}
