/**
 * Tokens of a foreign issuer (OpenID Connect ID tokens and other JWTs), turned into users by claim.
 * Source: docs reference/access-authn-authz/authentication#openid-connect-tokens;
 * k8s.io/apiserver/plugin/pkg/authenticator/token/oidc
 */
import type { Clock } from "@knarr/daemon/clock.ts";
import { createLocalJWKSet, decodeJwt, decodeProtectedHeader, errors, type JSONWebKeySet, jwtVerify } from "jose";
import type { JwksSource } from "./jwks-source.ts";
import { type Authentication, AuthenticationError, type TokenAuthenticator } from "./types.ts";

/** A claim and what is put before its value. */
export interface PrefixedClaim {
  readonly claim: string;
  readonly prefix: string;
}

export interface JwtIssuerOptions {
  readonly issuer: string;
  /** One of them must be in the token. */
  readonly audiences: readonly string[];
  readonly algorithms: readonly string[];
  readonly username: PrefixedClaim;
  readonly groups: PrefixedClaim | undefined;
  readonly uidClaim: string | undefined;
  /** Claims that a token must have, with these values. */
  readonly requiredClaims: readonly { readonly claim: string; readonly value: string }[];
  readonly keys: Pick<JwksSource, "keysFor">;
  readonly clock: Clock;
}

type Claims = Readonly<Record<string, unknown>>;
const CREDENTIAL_ID = "authentication.kubernetes.io/credential-id";

export class JwtIssuerAuthenticator implements TokenAuthenticator {
  readonly #options: JwtIssuerOptions;

  constructor(options: JwtIssuerOptions) {
    this.#options = options;
  }

  async authenticateToken(token: string, audiences: readonly string[]): Promise<Authentication | undefined> {
    const { username, groups, uidClaim, requiredClaims } = this.#options;
    const unverified = headOf(token);
    if (unverified?.issuer !== this.#options.issuer) return undefined;
    const claims = await this.#verified(token, unverified.keyId);
    const name = stringClaim(claims, username.claim);
    if (name === undefined) {
      throw new AuthenticationError(`oidc: parse username claims ${JSON.stringify(username.claim)}: claim not present`);
    }
    // An address that nobody has confirmed is not somebody's name.
    if (username.claim === "email" && "email_verified" in claims && claims.email_verified !== true) {
      throw new AuthenticationError("oidc: email not verified");
    }
    const user = {
      name: `${username.prefix}${name}`,
      uid: uidClaim === undefined ? "" : (stringClaim(claims, uidClaim) ?? ""),
      groups: groups === undefined ? [] : groupsIn(claims, groups.claim).map((group) => `${groups.prefix}${group}`),
      extra: typeof claims.jti === "string" ? { [CREDENTIAL_ID]: [`JTI=${claims.jti}`] } : {},
    };
    for (const { claim, value } of requiredClaims) requireClaim(claims, claim, value);
    return { user: Object.freeze(user), audiences };
  }

  async #verified(token: string, keyId: string | undefined): Promise<Claims> {
    const { issuer, audiences, algorithms, keys, clock } = this.#options;
    const set = await keys.keysFor(keyId);
    try {
      const { payload } = await jwtVerify(token, createLocalJWKSet(set as unknown as JSONWebKeySet), {
        issuer,
        audience: [...audiences],
        algorithms: [...algorithms],
        currentDate: new Date(clock.now()),
        requiredClaims: ["exp"],
      });
      return payload;
    } catch (error) {
      if (!(error instanceof errors.JOSEError)) throw error;
      throw new AuthenticationError(`oidc: verify token: ${error.message}`);
    }
  }
}

function headOf(
  token: string,
): { readonly issuer: string | undefined; readonly keyId: string | undefined } | undefined {
  try {
    return { issuer: decodeJwt(token).iss, keyId: decodeProtectedHeader(token).kid };
  } catch {
    // No JWT at all: some other authenticator's token.
    return undefined;
  }
}

function stringClaim(claims: Claims, name: string): string | undefined {
  const value = Object.hasOwn(claims, name) ? claims[name] : undefined;
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "string") throw new AuthenticationError(`oidc: claim ${JSON.stringify(name)} is not a string`);
  return value;
}

/** One name or a list of names. */
function groupsIn(claims: Claims, name: string): readonly string[] {
  const value = Object.hasOwn(claims, name) ? claims[name] : undefined;
  if (value === undefined || value === null) return [];
  if (typeof value === "string") return [value];
  if (Array.isArray(value) && value.every((group) => typeof group === "string")) return value;
  throw new AuthenticationError(
    `oidc: parse groups claim ${JSON.stringify(name)}: must be a string or a list of strings`,
  );
}

function requireClaim(claims: Claims, name: string, wanted: string): void {
  const value = stringClaim(claims, name);
  if (value === undefined) throw new AuthenticationError(`oidc: required claim ${name} not present in ID token`);
  if (value === wanted) return;
  throw new AuthenticationError(`oidc: required claim ${name} value does not match. Got = ${value}, want = ${wanted}`);
}
