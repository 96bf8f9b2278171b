/**
 * Reads an EncryptionConfiguration and finds the transformer of a resource in it. Pure.
 * Source: k8s.io/apiserver/pkg/apis/apiserver/{v1,validation}; server/options/encryptionconfig
 */
import { parseYaml, YamlError } from "@knarr/apimachinery/yaml.ts";
import {
  type CipherName,
  chainOf,
  cipherTransformer,
  identity,
  type NamedKey,
  type Transformer,
} from "./transformer.ts";

export class EncryptionConfigError extends Error {
  override readonly name = "EncryptionConfigError";
}

interface Entry {
  /** "secrets", "deployments.apps", "*.apps", "*.", "*.*". */
  readonly resources: readonly string[];
  readonly transformer: Transformer;
}

export interface EncryptionConfig {
  /** Of `group` "" for core; undefined when the file does not speak of the resource. */
  transformerOf(group: string, resource: string): Transformer | undefined;
}

type Fields = Record<string, unknown>;

const AES_KEY_BYTES = [16, 24, 32];
const BOX_KEY_BYTES = [32];

/** Throws EncryptionConfigError naming the field. */
export function parseEncryptionConfig(text: string): EncryptionConfig {
  let document: unknown;
  try {
    document = parseYaml(text).value;
  } catch (error) {
    if (!(error instanceof YamlError)) throw error;
    throw new EncryptionConfigError(error.message);
  }
  const { apiVersion, kind, resources } = fieldsOf(document, "the file");
  if (kind !== "EncryptionConfiguration" || !/^apiserver\.config\.k8s\.io\/v1$/.test(String(apiVersion))) {
    throw new EncryptionConfigError("must be an EncryptionConfiguration of apiserver.config.k8s.io/v1");
  }
  if (!Array.isArray(resources) || resources.length === 0) throw new EncryptionConfigError("resources: Required value");
  const entries = resources.map((one, i) => entryOf(one, `resources[${i}]`));
  return {
    transformerOf(group, resource) {
      const names = group === "" ? [resource, "*.", "*.*"] : [`${resource}.${group}`, `*.${group}`, "*.*"];
      return entries.find((entry) => entry.resources.some((name) => names.includes(name)))?.transformer;
    },
  };
}

function entryOf(value: unknown, path: string): Entry {
  const { resources, providers } = fieldsOf(value, path);
  if (!Array.isArray(resources) || resources.length === 0)
    throw new EncryptionConfigError(`${path}.resources: Required value`);
  const names = resources.map((name) => checkedResource(name, `${path}.resources`));
  if (!Array.isArray(providers) || providers.length === 0)
    throw new EncryptionConfigError(`${path}.providers: Required value`);
  return {
    resources: names,
    transformer: chainOf(providers.map((one, i) => providerOf(one, `${path}.providers[${i}]`))),
  };
}

function checkedResource(name: unknown, path: string): string {
  if (typeof name !== "string" || name === "")
    throw new EncryptionConfigError(`${path}: Invalid value: ${JSON.stringify(name)}`);
  if (name === "*" || /^[^*].*\*/.test(name)) {
    throw new EncryptionConfigError(
      `${path}: Invalid value: ${JSON.stringify(name)}: use '*.*' for all resources, '*.GROUP' for a group's`,
    );
  }
  return name;
}

function providerOf(value: unknown, path: string): Transformer {
  const provider = fieldsOf(value, path);
  const [kind, second] = Object.keys(provider);
  if (kind === undefined || second !== undefined) {
    throw new EncryptionConfigError(
      `${path}: Invalid value: provider must contain exactly one of aesgcm, aescbc, secretbox, identity`,
    );
  }
  switch (kind) {
    case "identity":
      return identity;
    case "aesgcm":
    case "aescbc":
      return cipherTransformer(kind, keysOf(provider[kind], `${path}.${kind}`, AES_KEY_BYTES));
    case "secretbox":
      return cipherTransformer(kind satisfies CipherName, keysOf(provider[kind], `${path}.${kind}`, BOX_KEY_BYTES));
    case "kms":
      // Differs from upstream: no KMS plugins, because they are a gRPC service of their own that no small cluster has.
      throw new EncryptionConfigError(`${path}.kms: KMS plugins are not supported; use aesgcm, aescbc or secretbox`);
    default:
      throw new EncryptionConfigError(`${path}: unknown field ${JSON.stringify(kind)}`);
  }
}

function keysOf(value: unknown, path: string, sizes: readonly number[]): NamedKey[] {
  const { keys } = fieldsOf(value, path);
  if (!Array.isArray(keys) || keys.length === 0)
    throw new EncryptionConfigError(`${path}.keys: Required value: at least one key`);
  const seen = new Set<string>();
  return keys.map((one, i) => {
    const at = `${path}.keys[${i}]`;
    const { name, secret } = fieldsOf(one, at);
    if (typeof name !== "string" || name === "" || name.includes(":")) {
      throw new EncryptionConfigError(
        `${at}.name: Invalid value: ${JSON.stringify(name)}: must be a name without colons`,
      );
    }
    if (seen.has(name)) throw new EncryptionConfigError(`${at}.name: Duplicate value: ${JSON.stringify(name)}`);
    seen.add(name);
    // The secret itself never stands in a message.
    if (typeof secret !== "string" || !/^[A-Za-z0-9+/]+={0,2}$/.test(secret)) {
      throw new EncryptionConfigError(`${at}.secret: Invalid value: "REDACTED": must be base64`);
    }
    const bytes = Buffer.from(secret, "base64");
    if (!sizes.includes(bytes.length)) {
      throw new EncryptionConfigError(
        `${at}.secret: Invalid value: "REDACTED": has ${bytes.length} bytes, must have ${sizes.join(", ")}`,
      );
    }
    return { name, secret: bytes };
  });
}

function fieldsOf(value: unknown, path: string): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new EncryptionConfigError(`${path}: must be an object`);
  }
  return value as Fields;
}
