import { ageColumn, nameColumn, textColumn } from "../../columns.ts";
import { deepEqual } from "../../deep-equal.ts";
import { defineKind } from "../../define-kind.ts";
import { core } from "../../generated/resources.ts";
import type { Secret } from "../../generated/types/core-v1.ts";
import type { FieldErrors } from "../../validation/field-errors.ts";
import { configKeyErrors, subdomainName } from "../../validation/names.ts";
import { validateImmutable } from "../../validation/object-meta.ts";
import { base64Length, decodeBase64 } from "../../validation/sizes.ts";

const sizeLimitBytes = 1024 * 1024;

/** Keys without which a secret of the type is of no use. */
const requiredKeys: Readonly<Record<string, readonly string[]>> = {
  "kubernetes.io/dockercfg": [".dockercfg"],
  "kubernetes.io/dockerconfigjson": [".dockerconfigjson"],
  "kubernetes.io/ssh-auth": ["ssh-privatekey"],
  "kubernetes.io/tls": ["tls.crt", "tls.key"],
};

function validateDockerConfig(errors: FieldErrors, path: string, base64: string): void {
  try {
    JSON.parse(decodeBase64(base64) ?? "");
  } catch {
    // What is wrong in it is not said: the message would show a part of the secret.
    errors.invalid(path, "<secret contents redacted>", "invalid JSON");
  }
}

function validateType(errors: FieldErrors, secret: Secret): void {
  const data = secret.data ?? {};
  if (secret.type === "kubernetes.io/service-account-token") {
    const account = secret.metadata.annotations?.["kubernetes.io/service-account.name"] ?? "";
    if (account === "") errors.required("metadata.annotations[kubernetes.io/service-account.name]");
  }
  if (secret.type === "kubernetes.io/basic-auth" && !("username" in data) && !("password" in data)) {
    errors.required("data[username]");
    errors.required("data[password]");
  }
  const type = secret.type ?? "";
  for (const key of Object.hasOwn(requiredKeys, type) ? (requiredKeys[type] ?? []) : []) {
    const value = data[key];
    if (value === undefined || (value === "" && secret.type === "kubernetes.io/ssh-auth"))
      errors.required(`data[${key}]`);
    else if (key.startsWith(".docker")) validateDockerConfig(errors, `data[${key}]`, value);
  }
}

/** Source: pkg/registry/core/secret/strategy.go, ValidateSecret */
export const secretKind = defineKind<Secret>({
  ref: core.secrets,
  prefix: "/registry/secrets",
  nameRule: subdomainName,
  selectable: { type: (secret) => secret.type ?? "" },
  default(secret) {
    secret.type ||= "Opaque";
    // stringData is write-only: it ends up in data.
    if (secret.stringData === undefined) return;
    secret.data ??= {};
    for (const [key, text] of Object.entries(secret.stringData)) secret.data[key] = encodeBase64(text);
    delete secret.stringData;
  },
  validate(errors, secret) {
    let sizeBytes = 0;
    for (const [key, value] of Object.entries(secret.data ?? {})) {
      errors.invalidAll(`data[${key}]`, key, configKeyErrors(key));
      sizeBytes += base64Length(value);
    }
    if (sizeBytes > sizeLimitBytes) errors.tooLong("data", sizeLimitBytes);
    validateType(errors, secret);
  },
  validateUpdate(errors, secret, old) {
    validateImmutable(errors, "type", secret.type, old.type);
    if (old.immutable !== true) return;
    if (secret.immutable !== true) errors.forbidden("immutable", "field is immutable when `immutable` is set");
    if (!deepEqual(secret.data, old.data)) errors.forbidden("data", "field is immutable when `immutable` is set");
  },
  columns: [
    nameColumn(),
    textColumn("Type", (secret) => secret.type ?? ""),
    textColumn("Data", (secret) => Object.keys(secret.data ?? {}).length),
    ageColumn(),
  ],
});

function encodeBase64(text: string): string {
  let binary = "";
  for (const byte of new TextEncoder().encode(text)) binary += String.fromCharCode(byte);
  return btoa(binary);
}
