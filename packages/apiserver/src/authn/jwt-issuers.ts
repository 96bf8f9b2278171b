/**
 * The JWT issuers and the rule for anonymous requests of the AuthenticationConfiguration, which may change while the server
 * runs: a new configuration takes the place of the old as a whole, a wrong one changes nothing.
 * Source: KEP-3331; k8s.io/apiserver/pkg/server/options/authentication_dynamic_config
 */
import type { Clock } from "@knarr/daemon/clock.ts";
import type { AnonymousSettings, AuthenticationSettings } from "./authentication-configuration.ts";
import { tokenUnion } from "./bearer-token.ts";
import { JwksSource } from "./jwks-source.ts";
import { JwtIssuerAuthenticator } from "./jwt-issuer.ts";
import type { Authentication, MaybeLater, TokenAuthenticator } from "./types.ts";

export interface JwtIssuersOptions {
  /** Issuers of ServiceAccount tokens: no JWT issuer may have their name. */
  readonly serviceAccountIssuers: readonly string[];
  /** Where the configuration says nothing of it (--anonymous-auth). */
  readonly anonymous: boolean;
  readonly clock: Clock;
}

export class JwtIssuers implements TokenAuthenticator {
  readonly #options: JwtIssuersOptions;
  #loaded = "";
  #tokens: TokenAuthenticator = tokenUnion([]);
  #anonymous: AnonymousSettings;

  constructor(options: JwtIssuersOptions) {
    this.#options = options;
    this.#anonymous = { enabled: options.anonymous, paths: undefined };
  }

  get anonymous(): AnonymousSettings {
    return this.#anonymous;
  }

  /** Whether anything is different now. Throws an Error for settings that can't be, keeping the old. */
  load(settings: AuthenticationSettings): boolean {
    const text = JSON.stringify(settings);
    if (text === this.#loaded) return false;
    const { clock, serviceAccountIssuers, anonymous } = this.#options;
    const members = settings.issuers.map(({ discoveryUrl, ca, ...issuer }) => {
      if (serviceAccountIssuers.includes(issuer.issuer)) {
        throw new Error(`JWT issuer ${issuer.issuer} is a ServiceAccount issuer too: they must be different`);
      }
      const keys = new JwksSource({ issuer: issuer.issuer, discoveryUrl, ca, clock });
      return new JwtIssuerAuthenticator({ ...issuer, keys, clock });
    });
    this.#tokens = tokenUnion(members);
    this.#anonymous = settings.anonymous ?? { enabled: anonymous, paths: undefined };
    this.#loaded = text;
    return true;
  }

  authenticateToken(token: string, audiences: readonly string[]): MaybeLater<Authentication | undefined> {
    return this.#tokens.authenticateToken(token, audiences);
  }
}
