/**
 * Which authorizers there are, in which order: --authorization-mode with the webhook's flags, or the file of
 * --authorization-config (AuthorizationConfiguration, apiserver.config.k8s.io/v1).
 * Differs from upstream: matchConditions (CEL) are refused, because this server has no evaluator for them; ABAC is not
 * offered.
 * Source: KEP-3221; k8s.io/apiserver/pkg/apis/apiserver/{v1,validation}
 */
import { readFile } from "node:fs/promises";
import { DurationError, parseDurationMs } from "@knarr/apimachinery/duration.ts";
import { isJsonObject, type JsonObject } from "@knarr/apimachinery/schema.ts";
import { parseYaml } from "@knarr/apimachinery/yaml.ts";
import type { WebhookAuthorizerOptions } from "./webhook.ts";

export interface WebhookSettings extends Omit<WebhookAuthorizerOptions, "webhook" | "clock"> {
  readonly kubeconfig: string;
  readonly timeoutMs: number;
}

export const AUTHORIZER_TYPES = ["Node", "RBAC", "Webhook", "AlwaysAllow", "AlwaysDeny"] as const;
export type AuthorizerType = (typeof AUTHORIZER_TYPES)[number];

export interface AuthorizerSettings {
  readonly type: AuthorizerType;
  /** For Webhook. */
  readonly webhook?: WebhookSettings;
}

export interface AuthorizationFlags {
  readonly authorizationMode: readonly string[];
  readonly authorizationConfig: string;
  readonly authorizationWebhookConfigFile: string;
  readonly authorizationWebhookVersion: string;
  readonly authorizationWebhookCacheAuthorizedTtlMs: number;
  readonly authorizationWebhookCacheUnauthorizedTtlMs: number;
}

export class AuthorizationConfigurationError extends Error {
  override readonly name = "AuthorizationConfigurationError";
}

const DEFAULT_MODE = "AlwaysAllow";
const DEFAULT_TIMEOUT_MS = 30_000;
const MAX_TIMEOUT_MS = 30_000;
const VERSIONS = ["v1", "v1beta1", "v1alpha1"].map((version) => `apiserver.config.k8s.io/${version}`);

/** Throws AuthorizationConfigurationError naming the flag or the field. */
export async function readAuthorizationSettings(flags: AuthorizationFlags): Promise<readonly AuthorizerSettings[]> {
  const { authorizationConfig: path, authorizationMode: modes } = flags;
  if (path === "") return fromFlags(flags);
  if (modes.join() !== DEFAULT_MODE || flags.authorizationWebhookConfigFile !== "") {
    throw wrong(
      "--authorization-config",
      "can not be specified when --authorization-mode or --authorization-webhook-* flags are defined",
    );
  }
  let document: unknown;
  try {
    document = parseYaml(await readFile(path, "utf8")).value;
  } catch (error) {
    throw wrong(path, error instanceof Error ? error.message : String(error));
  }
  return parseAuthorizationConfiguration(document);
}

function fromFlags(flags: AuthorizationFlags): readonly AuthorizerSettings[] {
  const { authorizationWebhookConfigFile: kubeconfig } = flags;
  const types = flags.authorizationMode.map((mode) => typeNamed(mode, "--authorization-mode"));
  if (new Set(types).size !== types.length) throw wrong("--authorization-mode", "has a mode twice");
  if (types.includes("Webhook") !== (kubeconfig !== "")) {
    throw wrong("--authorization-webhook-config-file", "goes with authorization mode Webhook, and it with the file");
  }
  return types.map((type) =>
    type !== "Webhook"
      ? { type }
      : {
          type,
          webhook: {
            kubeconfig,
            version: versionNamed(flags.authorizationWebhookVersion, "--authorization-webhook-version"),
            authorizedTtlMs: flags.authorizationWebhookCacheAuthorizedTtlMs,
            unauthorizedTtlMs: flags.authorizationWebhookCacheUnauthorizedTtlMs,
            onFailure: "no-opinion",
            timeoutMs: DEFAULT_TIMEOUT_MS,
          },
        },
  );
}

export function parseAuthorizationConfiguration(document: unknown): readonly AuthorizerSettings[] {
  if (!isJsonObject(document)) throw wrong("", "must be a YAML or JSON object");
  if (document.kind !== "AuthorizationConfiguration" || !VERSIONS.includes(String(document.apiVersion))) {
    throw wrong("kind", `must be AuthorizationConfiguration of ${VERSIONS[0]}`);
  }
  allow(document, "", ["kind", "apiVersion", "authorizers"]);
  const { authorizers } = document;
  if (!Array.isArray(authorizers) || authorizers.length === 0) {
    throw wrong("authorizers", "at least one authorization mode must be defined");
  }
  const names = new Set<string>();
  const types = new Set<AuthorizerType>();
  return authorizers.map((authorizer: unknown, index) => {
    const path = `authorizers[${index}]`;
    if (!isJsonObject(authorizer)) throw wrong(path, "must be an object");
    allow(authorizer, path, ["type", "name", "webhook"]);
    const type = typeNamed(String(authorizer.type), `${path}.type`);
    const name = authorizer.name;
    if (typeof name !== "string" || name === "") throw wrong(`${path}.name`, "Required value");
    if (names.has(name)) throw wrong(`${path}.name`, `Duplicate value: ${JSON.stringify(name)}`);
    if (type !== "Webhook" && types.has(type)) throw wrong(`${path}.type`, `Duplicate value: ${JSON.stringify(type)}`);
    names.add(name);
    types.add(type);
    const { webhook } = authorizer;
    if (type === "Webhook") {
      if (!isJsonObject(webhook)) throw wrong(`${path}.webhook`, "required when type=Webhook");
      return { type, webhook: webhookOf(webhook, `${path}.webhook`) };
    }
    if (webhook !== undefined) throw wrong(`${path}.webhook`, "may only be specified when type=Webhook");
    return { type };
  });
}

function webhookOf(webhook: JsonObject, path: string): WebhookSettings {
  const cached = ["authorizedTTL", "unauthorizedTTL", "cacheAuthorizedRequests", "cacheUnauthorizedRequests"];
  const versions = ["subjectAccessReviewVersion", "matchConditionSubjectAccessReviewVersion", "matchConditions"];
  allow(webhook, path, [...cached, ...versions, "timeout", "failurePolicy", "connectionInfo"]);
  const { matchConditions = [] } = webhook;
  if (!Array.isArray(matchConditions) || matchConditions.length > 0) {
    throw wrong(`${path}.matchConditions`, "expressions need CEL, which this server does not evaluate");
  }
  const connection = webhook.connectionInfo;
  if (!isJsonObject(connection)) throw wrong(`${path}.connectionInfo`, "Required value");
  if (connection.type !== "KubeConfigFile") {
    throw wrong(
      `${path}.connectionInfo.type`,
      `Unsupported value: ${JSON.stringify(connection.type)}: supported values: "KubeConfigFile"`,
    );
  }
  const kubeconfig = connection.kubeConfigFile;
  if (typeof kubeconfig !== "string" || !kubeconfig.startsWith("/")) {
    throw wrong(`${path}.connectionInfo.kubeConfigFile`, "must be an absolute path");
  }
  const policy = webhook.failurePolicy;
  if (policy !== "NoOpinion" && policy !== "Deny") {
    throw wrong(
      `${path}.failurePolicy`,
      `Unsupported value: ${JSON.stringify(policy)}: supported values: "Deny", "NoOpinion"`,
    );
  }
  const timeoutMs = durationIn(webhook, path, "timeout");
  if (timeoutMs <= 0 || timeoutMs > MAX_TIMEOUT_MS) throw wrong(`${path}.timeout`, "must be > 0s and <= 30s");
  const ttl = (field: string, isOn: unknown, defaultMs: number) =>
    isOn === false ? 0 : webhook[field] === undefined ? defaultMs : durationIn(webhook, path, field);
  return {
    kubeconfig,
    version: versionNamed(String(webhook.subjectAccessReviewVersion), `${path}.subjectAccessReviewVersion`),
    authorizedTtlMs: ttl("authorizedTTL", webhook.cacheAuthorizedRequests, 300_000),
    unauthorizedTtlMs: ttl("unauthorizedTTL", webhook.cacheUnauthorizedRequests, 30_000),
    onFailure: policy === "Deny" ? "denied" : "no-opinion",
    timeoutMs,
  };
}

function durationIn(object: JsonObject, path: string, field: string): number {
  try {
    return parseDurationMs(String(object[field] ?? ""));
  } catch (error) {
    if (!(error instanceof DurationError)) throw error;
    throw wrong(`${path}.${field}`, error.message);
  }
}

function typeNamed(text: string, path: string): AuthorizerType {
  const type = AUTHORIZER_TYPES.find((known) => known === text);
  if (type === undefined) throw wrong(path, `${JSON.stringify(text)} must be among ${AUTHORIZER_TYPES.join(", ")}`);
  return type;
}

function versionNamed(text: string, path: string): "v1" | "v1beta1" {
  if (text !== "v1" && text !== "v1beta1") throw wrong(path, `must be v1 or v1beta1, not ${JSON.stringify(text)}`);
  return text;
}

function allow(object: JsonObject, path: string, fields: readonly string[]): void {
  const unknown = Object.keys(object).find((name) => !fields.includes(name));
  if (unknown !== undefined) throw wrong(path, `unknown field ${JSON.stringify(unknown)}`);
}

function wrong(path: string, why: string): AuthorizationConfigurationError {
  return new AuthorizationConfigurationError(path === "" ? why : `${path}: ${why}`);
}
