/**
 * The public keys of a JWT issuer: found by discovery, fetched again when a token names a key that is not among them.
 * Source: OpenID Connect Discovery 1.0 4, RFC 7517; k8s.io/apiserver/plugin/pkg/authenticator/token/oidc
 */
import { request } from "node:https";
import { isJsonObject, type JsonObject } from "@knarr/apimachinery/schema.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import { AuthenticationError } from "./types.ts";

export interface JwksSourceOptions {
  readonly issuer: string;
  /** Where the discovery document is, if not below the issuer. */
  readonly discoveryUrl: string;
  /** PEM; undefined: the system's CAs. */
  readonly ca: string | undefined;
  readonly clock: Clock;
}

export interface JwkSet {
  readonly keys: readonly JsonObject[];
}

const TIMEOUT_MS = 10_000;
const MAX_BYTES = 1 << 20;
/** Between two fetches: tokens with made-up key names must not become requests to the issuer. */
const COOLDOWN_MS = 5_000;

export class JwksSource {
  readonly #options: JwksSourceOptions;
  #keys: JwkSet | undefined;
  #fetching: Promise<JwkSet> | undefined;
  #triedAtMs = Number.NEGATIVE_INFINITY;
  #failure = "";

  constructor(options: JwksSourceOptions) {
    this.#options = options;
  }

  /** Keys that may have signed a token naming `keyId`. Throws AuthenticationError while the issuer can't be reached. */
  async keysFor(keyId: string | undefined): Promise<JwkSet> {
    const known = this.#keys;
    if (known !== undefined && (keyId === undefined || known.keys.some((key) => key.kid === keyId))) return known;
    const nowMs = this.#options.clock.monotonicMs();
    if (this.#fetching === undefined && nowMs - this.#triedAtMs < COOLDOWN_MS) {
      if (known !== undefined) return known;
      throw this.#notInitialized();
    }
    try {
      this.#triedAtMs = nowMs;
      this.#fetching ??= this.#fetch().finally(() => {
        this.#fetching = undefined;
      });
      this.#keys = await this.#fetching;
      return this.#keys;
    } catch (error) {
      this.#failure = error instanceof Error ? error.message : String(error);
      // Keys that are known stay good while the issuer is away.
      if (known !== undefined) return known;
      throw this.#notInitialized();
    }
  }

  #notInitialized(): AuthenticationError {
    const { issuer } = this.#options;
    return new AuthenticationError(
      `oidc: authenticator for issuer ${JSON.stringify(issuer)} is not initialized: ${this.#failure}`,
    );
  }

  async #fetch(): Promise<JwkSet> {
    const { issuer, discoveryUrl, ca } = this.#options;
    const url = discoveryUrl || `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
    const discovered = await getJson(url, ca);
    if (discovered.issuer !== issuer) {
      throw new Error(
        `issuer did not match the issuer returned by provider, expected ${issuer} got ${discovered.issuer}`,
      );
    }
    const { jwks_uri: jwksUri } = discovered;
    if (typeof jwksUri !== "string") throw new Error(`${url} names no jwks_uri`);
    const { keys } = await getJson(jwksUri, ca);
    if (!Array.isArray(keys) || !keys.every(isJsonObject)) throw new Error(`${jwksUri} has no list of keys`);
    return { keys };
  }
}

function getJson(url: string, ca: string | undefined): Promise<JsonObject> {
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    const outgoing = request(url, {
      signal,
      headers: { accept: "application/json" },
      ...(ca === undefined ? {} : { ca }),
    });
    outgoing.once("error", reject);
    outgoing.once("response", (response) => {
      const chunks: Buffer[] = [];
      let size = 0;
      response.on("data", (chunk: Buffer) => {
        size += chunk.length;
        if (size > MAX_BYTES) outgoing.destroy(new Error(`${url} answers with more than ${MAX_BYTES} bytes`));
        else chunks.push(chunk);
      });
      response.once("error", reject);
      response.once("end", () => {
        if (response.statusCode !== 200) return reject(new Error(`${url} answers ${response.statusCode}`));
        try {
          const body: unknown = JSON.parse(Buffer.concat(chunks).toString());
          if (!isJsonObject(body)) throw new Error(`${url} answers with no object`);
          resolve(body);
        } catch (error) {
          reject(error);
        }
      });
    });
    outgoing.end();
  });
}
