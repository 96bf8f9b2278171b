/**
 * Who sent a request: client certificate, then bearer token; failing both, anonymous - unless wrong credentials were shown, which is 401.
 * Source: k8s.io/kubernetes/pkg/kubeapiserver/authenticator/config.go; k8s.io/apiserver/pkg/authentication/request/union
 */
import type { AnonymousSettings } from "./authentication-configuration.ts";
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
    const { enabled, paths } = this.#anonymous();
    return enabled && (paths === undefined || paths.includes(credentials.path ?? "")) ? { user: anonymous } : undefined;
  }
}

/** Everyone who proved who they are is of system:authenticated. */
export function withAuthenticatedGroup(authentication: Authentication): Authentication {
  const { user } = authentication;
  if (user.groups.includes(ALL_AUTHENTICATED) || user.groups.includes(ALL_UNAUTHENTICATED)) return authentication;
  return { ...authentication, user: Object.freeze({ ...user, groups: [...user.groups, ALL_AUTHENTICATED] }) };
}
