/**
 * The server as its own client: a random token, known to this process only, for what the server keeps in its own API.
 * Source: upstream's loopback client (system:apiserver in system:masters).
 */
import { randomBytes, timingSafeEqual } from "node:crypto";
import {
  ALL_AUTHENTICATED,
  API_SERVER_USER,
  type Authentication,
  type Authenticator,
  type Credentials,
  SYSTEM_MASTERS,
} from "../authn/types.ts";

export class LoopbackAuthenticator implements Authenticator {
  readonly token = randomBytes(32).toString("base64url");
  readonly #header = Buffer.from(`Bearer ${this.token}`);
  readonly #authentication: Authentication = Object.freeze({
    user: Object.freeze({
      name: API_SERVER_USER,
      uid: "",
      groups: Object.freeze([SYSTEM_MASTERS, ALL_AUTHENTICATED]),
      extra: Object.freeze({}),
    }),
  });

  authenticate(credentials: Credentials): Authentication | undefined {
    const { authorization } = credentials;
    // Of another length: somebody else's. The length of ours is no secret.
    if (authorization?.length !== this.#header.length) return undefined;
    const given = Buffer.from(authorization, "latin1");
    if (given.length !== this.#header.length || !timingSafeEqual(given, this.#header)) return undefined;
    return this.#authentication;
  }
}
