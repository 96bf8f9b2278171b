/**
 * The TokenRequest subresource of ServiceAccounts: checks what is asked for and signs a token bound to a pod, node or Secret.
 * Source: KEP-1205; k8s.io/kubernetes/pkg/registry/core/serviceaccount/storage/token.go; k8s.io/kubernetes/pkg/apis/authentication/validation
 */
import { randomUUID } from "node:crypto";
import type { BoundObjectReference, TokenRequest } from "@knarr/api/generated/types/authentication-v1.ts";
import type { ObjectKey } from "@knarr/apimachinery/resource.ts";
import { type FieldError, statusErrors } from "@knarr/apimachinery/status-error.ts";
import { rfc3339Seconds } from "@knarr/apimachinery/time.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import { SignJWT } from "jose";
import type { SigningKey } from "./service-account-keys.ts";
import type { BoundClaims, KubernetesClaims } from "./token-claims.ts";
import type { TokenObjects } from "./token-objects.ts";
import { SERVICE_ACCOUNT_USER_PREFIX } from "./types.ts";

const DEFAULT_SECONDS = 3_600;
const MIN_SECONDS = 600;
const MAX_SECONDS = 2 ** 32;
/**
 * What kubelet asks for when the token replaces a legacy one in a pod: such tokens live a year, so that clients which never re-read the
 * file go on, and each use after the hour is reported. Source: WarnOnlyBoundTokenExpirationSeconds, ExpirationExtensionSeconds
 */
const EXTENDABLE_SECONDS = 3_607;
const EXTENDED_SECONDS = 365 * 24 * 3_600;

export interface TokenIssuerOptions {
  readonly issuer: string;
  readonly key: SigningKey;
  /** Audiences of this server: the default of a request, and what makes a token extendable. */
  readonly audiences: readonly string[];
  readonly objects: TokenObjects;
  readonly clock: Clock;
  /** --service-account-max-token-expiration; 0: no limit. */
  readonly maxExpirationSeconds?: number;
  /** --service-account-extend-token-expiration; default true. */
  readonly extendExpiration?: boolean;
}

export interface IssuedToken {
  /** The request with its defaults and status filled. */
  readonly request: TokenRequest;
  /** Texts for Warning headers. */
  readonly warnings: readonly string[];
}

interface Binding {
  readonly claims: Partial<KubernetesClaims>;
  readonly isPod: boolean;
}

export class TokenIssuer {
  readonly #options: TokenIssuerOptions;

  constructor(options: TokenIssuerOptions) {
    this.#options = options;
  }

  /** Throws NotFound for a missing account or bound object, Invalid, BadRequest and Conflict as upstream does. */
  async issue(account: ObjectKey, request: TokenRequest): Promise<IssuedToken> {
    const { objects, clock, maxExpirationSeconds = 0 } = this.#options;
    const spec = {
      ...request.spec,
      audiences: nonEmpty(request.spec?.audiences) ?? [...this.#options.audiences],
      expirationSeconds: request.spec?.expirationSeconds ?? DEFAULT_SECONDS,
    };
    const errors = validate(spec.expirationSeconds);
    if (errors.length > 0) throw statusErrors.invalid("authentication.k8s.io", "TokenRequest", "", errors);
    const owner = await objects.serviceAccount(account);
    if (owner === undefined) throw statusErrors.notFound({ group: "", resource: "serviceaccounts" }, account.name);
    const binding = spec.boundObjectRef === undefined ? UNBOUND : await this.#bind(account, spec.boundObjectRef);
    const warnings: string[] = [];
    if (maxExpirationSeconds > 0 && spec.expirationSeconds > maxExpirationSeconds) {
      warnings.push(
        `requested expiration of ${spec.expirationSeconds} seconds shortened to ${maxExpirationSeconds} seconds`,
      );
      spec.expirationSeconds = maxExpirationSeconds;
    }
    const now = Math.floor(clock.now() / 1000);
    const isExtended = this.#isExtendable(binding, spec.expirationSeconds, spec.audiences);
    const lifeSeconds = isExtended ? EXTENDED_SECONDS : spec.expirationSeconds;
    const claims: BoundClaims = {
      aud: spec.audiences,
      exp: now + (maxExpirationSeconds > 0 ? Math.min(lifeSeconds, maxExpirationSeconds) : lifeSeconds),
      iat: now,
      iss: this.#options.issuer,
      jti: randomUUID(),
      "kubernetes.io": {
        namespace: account.namespace,
        ...binding.claims,
        serviceaccount: { name: account.name, uid: owner.uid },
        ...(isExtended ? { warnafter: now + spec.expirationSeconds } : {}),
      },
      nbf: now,
      sub: `${SERVICE_ACCOUNT_USER_PREFIX}${account.namespace}:${account.name}`,
    };
    const { key } = this.#options;
    const token = await new SignJWT({ ...claims, aud: [...claims.aud] })
      .setProtectedHeader({ alg: key.algorithm, kid: key.keyId })
      .sign(key.privateKey);
    const status = { token, expirationTimestamp: rfc3339Seconds((now + spec.expirationSeconds) * 1000) };
    return { request: { ...request, spec, status }, warnings };
  }

  async #bind(account: ObjectKey, ref: BoundObjectReference): Promise<Binding> {
    const { objects } = this.#options;
    const { apiVersion = "", kind = "", name = "" } = ref;
    const key = { namespace: account.namespace, name };
    const missing = (resource: string) => statusErrors.notFound({ group: "", resource }, name);
    switch (`${apiVersion} ${kind}`) {
      case "v1 Pod": {
        const pod = await objects.pod(key);
        if (pod === undefined) throw missing("pods");
        if (pod.serviceAccountName !== account.name) {
          throw statusErrors.badRequest(
            `cannot bind token for serviceaccount ${JSON.stringify(account.name)} to pod running with different serviceaccount name.`,
          );
        }
        checkUid(ref, pod.uid);
        const node = pod.nodeName === "" ? undefined : await objects.node(pod.nodeName);
        // A node that is gone leaves its name without a uid: the token must not say more than is known.
        const nodeClaim = pod.nodeName === "" ? {} : { node: { name: pod.nodeName, uid: node?.uid ?? "" } };
        return { claims: { ...nodeClaim, pod: { name, uid: pod.uid } }, isPod: true };
      }
      case "v1 Node": {
        const node = await objects.node(name);
        if (node === undefined) throw missing("nodes");
        checkUid(ref, node.uid);
        return { claims: { node: { name, uid: node.uid } }, isPod: false };
      }
      case "v1 Secret": {
        const secret = await objects.secret(key);
        if (secret === undefined) throw missing("secrets");
        checkUid(ref, secret.uid);
        return { claims: { secret: { name, uid: secret.uid } }, isPod: false };
      }
      default:
        throw statusErrors.badRequest(`cannot bind token to object of type ${typeName(apiVersion, kind)}`);
    }
  }

  #isExtendable(binding: Binding, seconds: number, audiences: readonly string[]): boolean {
    return (
      (this.#options.extendExpiration ?? true) &&
      binding.isPod &&
      seconds === EXTENDABLE_SECONDS &&
      audiences.every((audience) => this.#options.audiences.includes(audience))
    );
  }
}

const UNBOUND: Binding = { claims: {}, isPod: false };

function checkUid(ref: BoundObjectReference, uid: string): void {
  if (ref.uid === undefined || ref.uid === "" || ref.uid === uid) return;
  throw statusErrors.conflict(
    { group: "", resource: ref.kind ?? "" },
    ref.name ?? "",
    `the UID in the bound object reference (${ref.uid}) does not match the UID in record. The object might have been deleted and then recreated`,
  );
}

/** Go's GroupVersionKind in words: "/v1, Kind=ConfigMap", "apps/v1, Kind=Deployment". */
function typeName(apiVersion: string, kind: string): string {
  return `${apiVersion.includes("/") ? apiVersion : `/${apiVersion}`}, Kind=${kind}`;
}

function validate(seconds: number): FieldError[] {
  const invalid = (why: string): FieldError => ({
    type: "FieldValueInvalid",
    field: "spec.expirationSeconds",
    message: `Invalid value: ${seconds}: ${why}`,
  });
  if (seconds < MIN_SECONDS) return [invalid("may not specify a duration less than 10 minutes")];
  if (seconds > MAX_SECONDS) return [invalid("may not specify a duration larger than 2^32 seconds")];
  return [];
}

function nonEmpty<T>(values: T[] | undefined): T[] | undefined {
  return values === undefined || values.length === 0 ? undefined : values;
}
