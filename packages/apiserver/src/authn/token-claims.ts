/**
 * What a ServiceAccount token says. Two forms: bound tokens (TokenRequest), and the legacy ones kept in Secrets.
 * Source: k8s.io/kubernetes/pkg/serviceaccount/{claims,legacy}.go
 */

export interface NamedObject {
  readonly name: string;
  readonly uid: string;
}

/** The claim "kubernetes.io". */
export interface KubernetesClaims {
  readonly namespace: string;
  readonly serviceaccount: NamedObject;
  readonly pod?: NamedObject;
  readonly node?: NamedObject;
  readonly secret?: NamedObject;
  /** Seconds since the epoch: the life that was asked for; the token lives longer, and its use after this is reported. */
  readonly warnafter?: number;
}

export interface BoundClaims {
  readonly aud: readonly string[];
  readonly exp: number;
  readonly iat: number;
  readonly iss: string;
  readonly jti: string;
  readonly nbf: number;
  readonly sub: string;
  readonly "kubernetes.io": KubernetesClaims;
}

export const LEGACY_ISSUER = "kubernetes/serviceaccount";
export const LEGACY_NAMESPACE = "kubernetes.io/serviceaccount/namespace";
export const LEGACY_SECRET_NAME = "kubernetes.io/serviceaccount/secret.name";
export const LEGACY_ACCOUNT_NAME = "kubernetes.io/serviceaccount/service-account.name";
export const LEGACY_ACCOUNT_UID = "kubernetes.io/serviceaccount/service-account.uid";

/** Reads the claim "kubernetes.io"; undefined if it is not what this server writes. */
export function kubernetesClaims(payload: Readonly<Record<string, unknown>>): KubernetesClaims | undefined {
  const claims = payload["kubernetes.io"];
  if (typeof claims !== "object" || claims === null) return undefined;
  const { namespace, serviceaccount, pod, node, secret, warnafter } = claims as Record<string, unknown>;
  const account = namedObject(serviceaccount);
  if (typeof namespace !== "string" || namespace === "" || account === undefined || account.name === "")
    return undefined;
  const optional = (key: "pod" | "node" | "secret", value: unknown) => {
    const named = namedObject(value);
    return named === undefined ? {} : { [key]: named };
  };
  return {
    namespace,
    serviceaccount: account,
    ...optional("pod", pod),
    ...optional("node", node),
    ...optional("secret", secret),
    ...(typeof warnafter === "number" ? { warnafter } : {}),
  };
}

function namedObject(value: unknown): NamedObject | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { name, uid } = value as Record<string, unknown>;
  if (typeof name !== "string") return undefined;
  return { name, uid: typeof uid === "string" ? uid : "" };
}
