/**
 * Bearer tokens: finds the token in the Authorization header or in a WebSocket's protocol list, and asks each kind of token in turn.
 * Source: RFC 6750 2.1; k8s.io/apiserver/pkg/authentication/request/{bearertoken,websocket}, token/union
 */
import { firstAnswer } from "./first-answer.ts";
import {
  type Authentication,
  AuthenticationError,
  type Authenticator,
  type Credentials,
  type MaybeLater,
  type TokenAuthenticator,
} from "./types.ts";

const WEBSOCKET_PREFIX = "base64url.bearer.authorization.k8s.io.";

export class BearerTokenAuthenticator implements Authenticator {
  readonly #tokens: TokenAuthenticator;

  constructor(tokens: TokenAuthenticator) {
    this.#tokens = tokens;
  }

  authenticate(credentials: Credentials): MaybeLater<Authentication | undefined> {
    const token = bearerToken(credentials.authorization) ?? webSocketToken(credentials.webSocketProtocols);
    if (token === undefined) return undefined;
    const found = this.#tokens.authenticateToken(token, []);
    return found instanceof Promise ? found.then(orRefuse) : orRefuse(found);
  }
}

function orRefuse(found: Authentication | undefined): Authentication {
  if (found === undefined) throw new AuthenticationError("invalid bearer token");
  return found;
}

/** Several kinds of tokens as one: the first that knows the token decides; errors count only if nobody accepts. */
export function tokenUnion(members: readonly TokenAuthenticator[]): TokenAuthenticator {
  return {
    authenticateToken: (token, audiences) =>
      firstAnswer(members, (member) => member.authenticateToken(token, audiences)),
  };
}

/** "Bearer TOKEN", whatever its case. */
function bearerToken(header: string | undefined): string | undefined {
  const [scheme, token] = (header ?? "").trim().split(" ", 2);
  return scheme?.toLowerCase() === "bearer" && token !== undefined && token !== "" ? token : undefined;
}

function webSocketToken(header: string | undefined): string | undefined {
  for (const protocol of (header ?? "").split(",")) {
    const name = protocol.trim();
    if (!name.startsWith(WEBSOCKET_PREFIX)) continue;
    const token = Buffer.from(name.slice(WEBSOCKET_PREFIX.length), "base64url").toString();
    if (token !== "") return token;
  }
  return undefined;
}
