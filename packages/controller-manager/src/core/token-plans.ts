/**
 * Tokens in Secrets: those of ServiceAccounts (the older, lasting form) and those that new nodes join with. Pure.
 * Source: kubernetes.io/docs/concepts/configuration/secret, KEP-2799, kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens
 */
import type { ConfigMap, Secret, ServiceAccount } from "@knarr/api/generated/types/core-v1.ts";

export const SERVICE_ACCOUNT_TOKEN = "kubernetes.io/service-account-token";
export const ACCOUNT_NAME = "kubernetes.io/service-account.name";
export const ACCOUNT_UID = "kubernetes.io/service-account.uid";
export const BOOTSTRAP_TOKEN = "bootstrap.kubernetes.io/token";
const LAST_USED_LABEL = "kubernetes.io/legacy-token-last-used";
export const INVALID_SINCE_LABEL = "kubernetes.io/legacy-token-invalid-since";
const DAY_MS = 86_400_000;

export const isAccountToken = ({ type }: Secret): boolean => type === SERVICE_ACCOUNT_TOKEN;

/** Whether the Secret is meant for this very account: a uid, where it has one, counts. */
export function belongsTo(secret: Secret, account: ServiceAccount): boolean {
  const { annotations, namespace } = secret.metadata;
  if (namespace !== account.metadata.namespace || annotations?.[ACCOUNT_NAME] !== account.metadata.name) return false;
  const uid = annotations?.[ACCOUNT_UID] ?? "";
  return uid === "" || uid === account.metadata.uid;
}

const base64 = (text: string) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));

/** The Secret with what it lacks: token, namespace, CA bundle and the account's uid. Undefined when it lacks nothing. */
export function fillToken(
  secret: Secret,
  account: ServiceAccount,
  of: { readonly rootCa: string | undefined; readonly makeToken: () => string },
): Secret | undefined {
  const data = secret.data ?? {};
  const namespace = base64(secret.metadata.namespace ?? "");
  const ca = of.rootCa === undefined ? undefined : base64(of.rootCa);
  const isFull =
    (data.token ?? "") !== "" &&
    data.namespace === namespace &&
    (ca === undefined || data["ca.crt"] === ca) &&
    secret.metadata.annotations?.[ACCOUNT_UID] === account.metadata.uid;
  if (isFull) return undefined;
  const annotations = { ...secret.metadata.annotations, [ACCOUNT_UID]: account.metadata.uid ?? "" };
  return {
    ...secret,
    metadata: { ...secret.metadata, annotations },
    data: {
      ...data,
      token: (data.token ?? "") === "" ? base64(of.makeToken()) : (data.token ?? ""),
      namespace,
      ...(ca === undefined ? {} : { "ca.crt": ca }),
    },
  };
}

/** What the lasting token of a ServiceAccount says; it has no end. */
export function legacyClaims(secret: Secret, account: ServiceAccount): Record<string, string> {
  const { namespace = "", name = "", uid = "" } = account.metadata;
  const prefix = "kubernetes.io/serviceaccount";
  return {
    iss: "kubernetes/serviceaccount",
    [`${prefix}/namespace`]: namespace,
    [`${prefix}/secret.name`]: secret.metadata.name ?? "",
    [`${prefix}/service-account.name`]: name,
    [`${prefix}/service-account.uid`]: uid,
    sub: `system:serviceaccount:${namespace}:${name}`,
  };
}

export type LegacyTokenPlan = "keep" | "mark" | "unmark" | "delete";

/**
 * What becomes of a token that was made without being asked for (its account lists it): unused for `unusedMs` it is
 * marked invalid, and removed when it stays so for as long again.
 */
export function planLegacyToken(
  secret: Secret,
  of: {
    readonly isMounted: boolean;
    readonly isListed: boolean;
    readonly trackedSince: string;
    readonly unusedMs: number;
    readonly nowMs: number;
  },
): LegacyTokenPlan {
  const { labels, creationTimestamp } = secret.metadata;
  if (!isAccountToken(secret) || !of.isListed || of.isMounted) return "keep";
  const start = (day: string | undefined) => Date.parse(`${(day ?? "").slice(0, 10)}T00:00:00Z`);
  const lastUsed = labels?.[LAST_USED_LABEL];
  const times = [
    start(of.trackedSince),
    Date.parse(creationTimestamp ?? ""),
    lastUsed === undefined ? 0 : start(lastUsed),
  ];
  const newest = Math.max(...times.filter((time) => !Number.isNaN(time)));
  const invalidSince = labels?.[INVALID_SINCE_LABEL];
  // A day's label stands for the whole day.
  if (of.nowMs - newest < of.unusedMs + (lastUsed === undefined ? 0 : DAY_MS)) {
    return invalidSince === undefined ? "keep" : "unmark";
  }
  if (invalidSince === undefined) return "mark";
  const since = start(invalidSince);
  if (Number.isNaN(since)) return "mark";
  return of.nowMs - since >= of.unusedMs + DAY_MS ? "delete" : "keep";
}

const decode = (data: Readonly<Record<string, string>> | undefined, key: string): string => {
  const text = data?.[key];
  return text === undefined ? "" : new TextDecoder().decode(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)));
};

/** How long until the bootstrap token ends; undefined when it never does, 0 when it has, or says it in no known form. */
export function tokenLeftMs(secret: Secret, nowMs: number): number | undefined {
  const text = decode(secret.data, "expiration");
  if (text === "") return undefined;
  const endMs = Date.parse(text);
  return Number.isNaN(endMs) ? 0 : Math.max(0, endMs - nowMs);
}

const JWS_PREFIX = "jws-kubeconfig-";

/** Tokens that may sign cluster-info: id -> secret. */
export function signingTokens(secrets: readonly Secret[], nowMs: number): ReadonlyMap<string, string> {
  return new Map(
    secrets.flatMap((secret) => {
      const id = decode(secret.data, "token-id");
      const wanted = secret.type === BOOTSTRAP_TOKEN && decode(secret.data, "usage-bootstrap-signing") === "true";
      const named = /^[a-z0-9]{6}$/.test(id) && secret.metadata.name === `bootstrap-token-${id}`;
      const token = decode(secret.data, "token-secret");
      if (!wanted || !named || token === "" || tokenLeftMs(secret, nowMs) === 0) return [];
      return [[id, token] as const];
    }),
  );
}

/** cluster-info with the signatures of exactly these tokens; undefined when it has them. */
export function signClusterInfo(
  info: ConfigMap,
  tokens: ReadonlyMap<string, string>,
  sign: (text: string, id: string, token: string) => string,
): ConfigMap | undefined {
  const kubeconfig = info.data?.kubeconfig;
  if (kubeconfig === undefined) return undefined;
  const others = Object.entries(info.data ?? {}).filter(([key]) => !key.startsWith(JWS_PREFIX));
  const signed = [...tokens].map(([id, token]) => [`${JWS_PREFIX}${id}`, sign(kubeconfig, id, token)] as const);
  const data = Object.fromEntries([...others, ...signed]);
  const before = Object.entries(info.data ?? {}).sort();
  if (JSON.stringify(before) === JSON.stringify(Object.entries(data).sort())) return undefined;
  return { ...info, data };
}
