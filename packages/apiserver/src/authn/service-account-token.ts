/**
 * Checks ServiceAccount tokens: signature by one of the server's keys, issuer, time, audience, and that the account and whatever the token
 * is bound to still exist.
 * Source: k8s.io/kubernetes/pkg/serviceaccount/{jwt,claims,legacy}.go; KEP-1205, KEP-4193
 */
import { hash, timingSafeEqual } from "node:crypto";
import type { Clock } from "@knarr/daemon/clock.ts";
import { compactVerify, decodeJwt, decodeProtectedHeader, errors } from "jose";
import type { VerificationKey } from "./service-account-keys.ts";
import { serviceAccountUser, type TokenReferences } from "./service-account-user.ts";
import {
  type KubernetesClaims,
  kubernetesClaims,
  LEGACY_ACCOUNT_NAME,
  LEGACY_ACCOUNT_UID,
  LEGACY_ISSUER,
  LEGACY_NAMESPACE,
  LEGACY_SECRET_NAME,
} from "./token-claims.ts";
import type { BoundObject, TokenObjects } from "./token-objects.ts";
import { type Authentication, AuthenticationError, type TokenAuthenticator } from "./types.ts";

type Payload = Readonly<Record<string, unknown>>;

/** Clocks of issuer and verifier may differ by this much. Source: go-jose's default leeway, which upstream uses. */
const LEEWAY_SECONDS = 60;
/** A verified signature is remembered this long; what the token is bound to is checked on every use. */
const SIGNATURE_TTL_MS = 10_000;
const MAX_SIGNATURES = 4_096;

export interface ServiceAccountTokenOptions {
  /** The first signs; tokens of all of them are accepted (--service-account-issuer, repeatable). */
  readonly issuers: readonly string[];
  /** Audiences that this server stands for. */
  readonly audiences: readonly string[];
  readonly keys: readonly VerificationKey[];
  readonly objects: TokenObjects;
  readonly clock: Clock;
}

export class ServiceAccountTokenAuthenticator implements TokenAuthenticator {
  readonly #options: ServiceAccountTokenOptions;
  /** SHA-256 of a token whose signature is good -> its payload, and until when to believe that. */
  readonly #signatures = new Map<string, { readonly payload: Payload; readonly untilMs: number }>();

  constructor(options: ServiceAccountTokenOptions) {
    this.#options = options;
  }

  async authenticateToken(token: string, audiences: readonly string[]): Promise<Authentication | undefined> {
    const issuer = unverifiedIssuer(token);
    const isLegacy = issuer === LEGACY_ISSUER;
    if (issuer === undefined || (!isLegacy && !this.#options.issuers.includes(issuer))) return undefined;
    const payload = await this.#verified(token);
    if (payload === undefined) throw new AuthenticationError("invalid bearer token: the signature matches no key");
    if (isLegacy) return await this.#legacy(token, payload, audiences);
    return await this.#bound(payload, audiences);
  }

  async #verified(token: string): Promise<Payload | undefined> {
    const nowMs = this.#options.clock.monotonicMs();
    const id = hash("sha256", token, "base64");
    const known = this.#signatures.get(id);
    if (known !== undefined && known.untilMs > nowMs) return known.payload;
    const payload = await verify(token, this.#options.keys);
    if (payload === undefined) return undefined;
    if (this.#signatures.size >= MAX_SIGNATURES) this.#signatures.clear();
    this.#signatures.set(id, { payload, untilMs: nowMs + SIGNATURE_TTL_MS });
    return payload;
  }

  async #bound(payload: Payload, audiences: readonly string[]): Promise<Authentication> {
    this.#checkTime(payload);
    const claims = kubernetesClaims(payload);
    if (claims === undefined) throw new AuthenticationError("service account token claims could not be validated");
    const accepted = intersect(audiencesOf(payload), audiences.length === 0 ? this.#options.audiences : audiences);
    if (accepted.length === 0) {
      throw new AuthenticationError(
        `token audiences ${goList(audiencesOf(payload))} is invalid for the target audiences ${goList(this.#options.audiences)}`,
      );
    }
    const { namespace, serviceaccount } = claims;
    this.#checkSubject(payload, namespace, serviceaccount.name);
    await this.#checkAccount(namespace, serviceaccount.name, serviceaccount.uid);
    await this.#checkBindings(claims);
    const references: TokenReferences = {
      ...(claims.pod === undefined ? {} : { pod: claims.pod }),
      ...(claims.node === undefined ? {} : { node: claims.node }),
      ...(typeof payload.jti === "string" ? { credentialId: `JTI=${payload.jti}` } : {}),
    };
    return { user: serviceAccountUser(namespace, serviceaccount, references), audiences: accepted };
  }

  async #legacy(token: string, payload: Payload, audiences: readonly string[]): Promise<Authentication> {
    const claim = (name: string) => {
      const value = payload[name];
      if (typeof value !== "string" || value === "") throw new AuthenticationError(`${name} claim is missing`);
      return value;
    };
    const namespace = claim(LEGACY_NAMESPACE);
    const account = { name: claim(LEGACY_ACCOUNT_NAME), uid: claim(LEGACY_ACCOUNT_UID) };
    const secretName = claim(LEGACY_SECRET_NAME);
    this.#checkSubject(payload, namespace, account.name);
    // A token without audiences is good for the server itself and nobody else.
    const accepted = intersect(this.#options.audiences, audiences.length === 0 ? this.#options.audiences : audiences);
    if (accepted.length === 0) throw new AuthenticationError("the token is not meant for the target audiences");
    const secret = await this.#options.objects.secret({ namespace, name: secretName });
    if (secret === undefined || secret.deletionMs !== undefined) {
      throw new AuthenticationError("service account token has been invalidated");
    }
    if (!sameBytes(secret.token, Buffer.from(token))) {
      throw new AuthenticationError("service account token does not match server's copy");
    }
    await this.#checkAccount(namespace, account.name, account.uid);
    return { user: serviceAccountUser(namespace, account, {}), audiences: accepted };
  }

  #checkTime(payload: Payload): void {
    const now = this.#options.clock.now() / 1000;
    const { exp, nbf, iat } = payload;
    if (typeof exp !== "number" || exp + LEEWAY_SECONDS < now)
      throw new AuthenticationError("service account token has expired");
    if (typeof nbf === "number" && nbf - LEEWAY_SECONDS > now)
      throw new AuthenticationError("service account token is not valid yet");
    if (typeof iat === "number" && iat - LEEWAY_SECONDS > now) {
      throw new AuthenticationError("service account token is issued in the future");
    }
  }

  #checkSubject(payload: Payload, namespace: string, name: string): void {
    if (payload.sub !== `system:serviceaccount:${namespace}:${name}`) {
      throw new AuthenticationError("sub claim does not match the service account");
    }
  }

  async #checkAccount(namespace: string, name: string, uid: string): Promise<void> {
    const account = await this.#options.objects.serviceAccount({ namespace, name });
    if (account === undefined) throw new AuthenticationError(`service account ${namespace}/${name} has been deleted`);
    if (this.#isGone(account)) throw new AuthenticationError(`service account ${namespace}/${name} has been deleted`);
    if (account.uid !== uid) {
      throw new AuthenticationError(`service account UID (${account.uid}) does not match claim (${uid})`);
    }
  }

  async #checkBindings({ namespace, pod, node, secret }: KubernetesClaims): Promise<void> {
    const { objects } = this.#options;
    if (secret !== undefined)
      this.#checkOne("secret", await objects.secret({ namespace, name: secret.name }), secret.uid);
    if (pod !== undefined) this.#checkOne("pod", await objects.pod({ namespace, name: pod.name }), pod.uid);
    // A pod's token names the node for information; only a token that is bound to the node itself falls with it. Source: KEP-4193
    if (node !== undefined && pod === undefined) this.#checkOne("node", await objects.node(node.name), node.uid);
  }

  #checkOne(kind: string, object: BoundObject | undefined, uid: string): void {
    if (object === undefined || this.#isGone(object)) {
      throw new AuthenticationError("service account token has been invalidated");
    }
    if (object.uid !== uid) {
      throw new AuthenticationError(
        `${kind} UID (${object.uid}) does not match service account ${kind} ref claim (${uid})`,
      );
    }
  }

  /** Deleted, and its grace time is over by more than the leeway. */
  #isGone({ deletionMs }: BoundObject): boolean {
    return deletionMs !== undefined && deletionMs + LEEWAY_SECONDS * 1000 < this.#options.clock.now();
  }
}

function unverifiedIssuer(token: string): string | undefined {
  try {
    return decodeJwt(token).iss;
  } catch {
    // No JWT at all: some other authenticator's token.
    return undefined;
  }
}

/** The payload if one of the keys signed it with its own algorithm; undefined otherwise. */
async function verify(token: string, keys: readonly VerificationKey[]): Promise<Payload | undefined> {
  const { kid } = decodeProtectedHeader(token);
  const named = keys.filter((key) => key.keyId === kid);
  for (const { key, algorithm } of named.length > 0 ? named : keys) {
    try {
      const { payload } = await compactVerify(token, key, { algorithms: [algorithm] });
      return JSON.parse(Buffer.from(payload).toString()) as Payload;
    } catch (error) {
      // A wrong signature or algorithm: perhaps another key's.
      if (!(error instanceof errors.JOSEError)) throw error;
    }
  }
  return undefined;
}

function audiencesOf({ aud }: Payload): readonly string[] {
  if (typeof aud === "string") return [aud];
  return Array.isArray(aud) ? aud.filter((one): one is string => typeof one === "string") : [];
}

function intersect(a: readonly string[], b: readonly string[]): readonly string[] {
  return a.filter((one) => b.includes(one));
}

function goList(values: readonly string[]): string {
  return `[${values.map((value) => JSON.stringify(value)).join(" ")}]`;
}

function sameBytes(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}
