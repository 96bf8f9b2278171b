/**
 * --authentication-config: AuthenticationConfiguration (apiserver.config.k8s.io/v1): JWT issuers, and where anonymous
 * requests are let in.
 * Differs from upstream: expressions (CEL) are refused, because this server has no evaluator for them.
 * Source: k8s.io/apiserver/pkg/apis/apiserver/{v1,validation}
 */
import { isJsonObject, type JsonObject } from "@knarr/apimachinery/schema.ts";
import { parseYaml } from "@knarr/apimachinery/yaml.ts";
import type { JwtIssuerOptions } from "./jwt-issuer.ts";

export interface JwtIssuerSettings extends Omit<JwtIssuerOptions, "keys" | "clock"> {
  readonly discoveryUrl: string;
  readonly ca: string | undefined;
}

export interface AnonymousSettings {
  readonly enabled: boolean;
  /** Only these; undefined: all paths. */
  readonly paths: readonly string[] | undefined;
}

export interface AuthenticationSettings {
  readonly issuers: readonly JwtIssuerSettings[];
  /** Undefined: --anonymous-auth decides. */
  readonly anonymous: AnonymousSettings | undefined;
}

export class AuthenticationConfigurationError extends Error {
  override readonly name = "AuthenticationConfigurationError";
}

const VERSIONS = ["v1", "v1beta1", "v1alpha1"].map((version) => `apiserver.config.k8s.io/${version}`);
export const SIGNING_ALGORITHMS = ["RS", "ES", "PS"].flatMap((family) =>
  ["256", "384", "512"].map((size) => family + size),
);
const MAX_ISSUERS = 64;

/** Throws AuthenticationConfigurationError naming the field. */
export function parseAuthenticationConfiguration(text: string): AuthenticationSettings {
  const document = parseYaml(text).value;
  if (!isJsonObject(document)) throw wrong("", "must be a YAML or JSON object");
  if (document.kind !== "AuthenticationConfiguration" || !VERSIONS.includes(String(document.apiVersion))) {
    throw wrong("kind", `must be AuthenticationConfiguration of ${VERSIONS[0]}`);
  }
  allow(document, "", ["kind", "apiVersion", "jwt", "anonymous"]);
  const issuers = listIn(document, "", "jwt").map((jwt, index) => issuerOf(jwt, `jwt[${index}]`));
  if (issuers.length > MAX_ISSUERS) throw wrong("jwt", `must have at most ${MAX_ISSUERS} items`);
  for (const key of ["issuer", "discoveryUrl"] as const) {
    const values = issuers.map((issuer) => issuer[key]).filter((value) => value !== "");
    const twice = values.find((value, index) => values.indexOf(value) !== index);
    if (twice !== undefined) throw wrong("jwt", `Duplicate value: ${JSON.stringify(twice)}`);
  }
  return { issuers, anonymous: anonymousOf(document) };
}

function issuerOf(jwt: JsonObject, path: string): JwtIssuerSettings {
  allow(jwt, path, ["issuer", "claimValidationRules", "claimMappings", "userValidationRules"]);
  const issuer = objectIn(jwt, path, "issuer");
  const at = `${path}.issuer`;
  const known = [
    "url",
    "discoveryURL",
    "certificateAuthority",
    "audiences",
    "audienceMatchPolicy",
    "egressSelectorType",
  ];
  allow(issuer, at, known);
  const url = textIn(issuer, at, "url");
  requireHttps(url, `${at}.url`);
  const discoveryUrl = textIn(issuer, at, "discoveryURL", "");
  if (discoveryUrl !== "") requireHttps(discoveryUrl, `${at}.discoveryURL`);
  if (discoveryUrl === url) throw wrong(`${at}.discoveryURL`, "must be different from URL");
  if ("egressSelectorType" in issuer) throw wrong(`${at}.egressSelectorType`, "egress selectors are not supported");
  const audiences = namesIn(issuer, at, "audiences");
  if (audiences.length === 0) throw wrong(`${at}.audiences`, "at least one jwt[*].issuer.audiences is required");
  const policy = textIn(issuer, at, "audienceMatchPolicy", "");
  if (audiences.length > 1 && policy !== "MatchAny") {
    throw wrong(`${at}.audienceMatchPolicy`, "must be MatchAny for multiple audiences");
  }
  if (listIn(jwt, path, "userValidationRules").length > 0) throw noCel(`${path}.userValidationRules`);
  const ca = textIn(issuer, at, "certificateAuthority", "");
  return {
    issuer: url,
    discoveryUrl,
    ca: ca === "" ? undefined : ca,
    audiences,
    algorithms: SIGNING_ALGORITHMS,
    requiredClaims: listIn(jwt, path, "claimValidationRules").map((rule, index) => {
      const here = `${path}.claimValidationRules[${index}]`;
      if ("expression" in rule) throw noCel(`${here}.expression`);
      allow(rule, here, ["claim", "requiredValue"]);
      return { claim: textIn(rule, here, "claim"), value: textIn(rule, here, "requiredValue", "") };
    }),
    ...mappingsOf(objectIn(jwt, path, "claimMappings"), `${path}.claimMappings`),
  };
}

function mappingsOf(mappings: JsonObject, path: string): Pick<JwtIssuerSettings, "username" | "groups" | "uidClaim"> {
  allow(mappings, path, ["username", "groups", "uid", "extra"]);
  const prefixed = (name: "username" | "groups") => {
    const mapping = objectIn(mappings, path, name, {});
    const here = `${path}.${name}`;
    if ("expression" in mapping) throw noCel(`${here}.expression`);
    allow(mapping, here, ["claim", "prefix"]);
    const claim = textIn(mapping, here, "claim", "");
    if (claim !== "" && typeof mapping.prefix !== "string") {
      throw wrong(
        `${here}.prefix`,
        "prefix is required when claim is set. It can be set to an empty string to disable prefixing",
      );
    }
    return claim === "" ? undefined : { claim, prefix: String(mapping.prefix) };
  };
  const username = prefixed("username");
  if (username === undefined) throw wrong(`${path}.username`, "claim or expression is required");
  if (listIn(mappings, path, "extra").length > 0) throw noCel(`${path}.extra[0].valueExpression`);
  const uid = objectIn(mappings, path, "uid", {});
  if ("expression" in uid) throw noCel(`${path}.uid.expression`);
  return { username, groups: prefixed("groups"), uidClaim: textIn(uid, `${path}.uid`, "claim", "") || undefined };
}

function anonymousOf(document: JsonObject): AnonymousSettings | undefined {
  if (document.anonymous === undefined) return undefined;
  const anonymous = objectIn(document, "", "anonymous");
  allow(anonymous, "anonymous", ["enabled", "conditions"]);
  const enabled = anonymous.enabled === true;
  const paths = listIn(anonymous, "anonymous", "conditions").map((condition, index) =>
    textIn(condition, `anonymous.conditions[${index}]`, "path"),
  );
  if (!enabled && paths.length > 0)
    throw wrong("anonymous.conditions", "enabled should be set to true when conditions are defined");
  return { enabled, paths: paths.length === 0 ? undefined : paths };
}

function wrong(path: string, why: string): AuthenticationConfigurationError {
  return new AuthenticationConfigurationError(path === "" ? why : `${path}: ${why}`);
}

function noCel(path: string): AuthenticationConfigurationError {
  return wrong(path, "expressions need CEL, which this server does not evaluate; use claim");
}

function requireHttps(url: string, path: string): void {
  const parsed = URL.parse(url);
  if (parsed?.protocol !== "https:") throw wrong(path, "URL scheme must be https");
  if (parsed.username !== "" || parsed.password !== "")
    throw wrong(path, "URL must not contain a username or password");
  if (parsed.search !== "" || parsed.hash !== "") throw wrong(path, "URL must not contain a query or a fragment");
}

function allow(object: JsonObject, path: string, fields: readonly string[]): void {
  const unknown = Object.keys(object).find((name) => !fields.includes(name));
  if (unknown !== undefined) throw wrong(path, `unknown field ${JSON.stringify(unknown)}`);
}

function objectIn(parent: JsonObject, path: string, field: string, otherwise?: JsonObject): JsonObject {
  const value = parent[field] ?? otherwise;
  if (!isJsonObject(value)) throw wrong(`${path === "" ? "" : `${path}.`}${field}`, "must be an object");
  return value;
}

function listIn(parent: JsonObject, path: string, field: string): JsonObject[] {
  const value = parent[field] ?? [];
  if (!Array.isArray(value) || !value.every(isJsonObject)) throw wrong(`${path}.${field}`, "must be a list of objects");
  return value;
}

function namesIn(parent: JsonObject, path: string, field: string): string[] {
  const value = parent[field] ?? [];
  const isNames = Array.isArray(value) && value.every((item) => typeof item === "string" && item !== "");
  if (!isNames) throw wrong(`${path}.${field}`, "must be a list of strings");
  return value as string[];
}

function textIn(parent: JsonObject, path: string, field: string, otherwise?: string): string {
  const value = parent[field] ?? otherwise;
  if (typeof value !== "string" || (value === "" && otherwise === undefined))
    throw wrong(`${path}.${field}`, "is required");
  return value;
}
