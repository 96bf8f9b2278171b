/**
 * Bootstrap tokens: "ID.SECRET", kept in Secrets kube-system/bootstrap-token-ID, with which new nodes ask for their certificate.
 * Source: docs reference/access-authn-authz/bootstrap-tokens
 */
import { timingSafeEqual } from "node:crypto";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { TokenObjects } from "./token-objects.ts";
import { type Authentication, BOOTSTRAP_USER_PREFIX, type TokenAuthenticator } from "./types.ts";

const TOKEN = /^([a-z0-9]{6})\.([a-z0-9]{16})$/;
const SECRET_TYPE = "bootstrap.kubernetes.io/token";
const DEFAULT_GROUP = "system:bootstrappers";
const EXTRA_GROUP = /^system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]$/;

export class BootstrapTokenAuthenticator implements TokenAuthenticator {
  readonly #objects: Pick<TokenObjects, "secret">;
  readonly #clock: Clock;

  constructor(objects: Pick<TokenObjects, "secret">, clock: Clock) {
    this.#objects = objects;
    this.#clock = clock;
  }

  /** Says nothing of a token that is unknown, expired or not meant for authentication: who guesses learns nothing. */
  async authenticateToken(token: string, audiences: readonly string[]): Promise<Authentication | undefined> {
    const [, id, secretPart] = TOKEN.exec(token) ?? [];
    if (id === undefined || secretPart === undefined) return undefined;
    const secret = await this.#objects.secret({ namespace: "kube-system", name: `bootstrap-token-${id}` });
    if (secret === undefined || secret.deletionMs !== undefined || secret.type !== SECRET_TYPE) return undefined;
    const field = (name: string) => Buffer.from(secret.data[name] ?? "", "base64").toString();
    const stored = Buffer.from(field("token-secret"));
    const given = Buffer.from(secretPart);
    if (stored.length !== given.length || !timingSafeEqual(stored, given) || field("token-id") !== id) return undefined;
    const expiration = field("expiration");
    // An expiration that cannot be read counts as passed.
    if (expiration !== "" && !(Date.parse(expiration) > this.#clock.now())) return undefined;
    if (field("usage-bootstrap-authentication") !== "true") return undefined;
    const extra = field("auth-extra-groups")
      .split(",")
      .filter((group) => group !== "");
    if (!extra.every((group) => EXTRA_GROUP.test(group))) return undefined;
    return {
      user: Object.freeze({
        name: `${BOOTSTRAP_USER_PREFIX}${id}`,
        uid: "",
        groups: [...new Set([DEFAULT_GROUP, ...extra])],
        extra: {},
      }),
      audiences,
    };
  }
}
