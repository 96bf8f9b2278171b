/**
 * --admission-control-config-file: an AdmissionConfiguration (apiserver.config.k8s.io/v1) that gives plugins their own
 * configuration, inline or in a file beside it.
 * Source: k8s.io/apiserver/pkg/admission/config.go
 */
import { readFile } from "node:fs/promises";
import { dirname, isAbsolute, join } from "node:path";
import { isJsonObject, type JsonObject } from "@knarr/apimachinery/schema.ts";
import { parseYaml } from "@knarr/apimachinery/yaml.ts";

export class AdmissionConfigurationError extends Error {
  override readonly name = "AdmissionConfigurationError";
}

/** Plugin name to its configuration document. */
export type PluginConfigurations = ReadonlyMap<string, JsonObject>;

const VERSIONS = ["apiserver.config.k8s.io/v1", "apiserver.config.k8s.io/v1alpha1", "apiserver.k8s.io/v1alpha1"];

/** Reads the file ("" gives none). Throws AdmissionConfigurationError naming the file and what is wrong. */
export async function readPluginConfigurations(path: string): Promise<PluginConfigurations> {
  if (path === "") return new Map();
  const document = await readDocument(path);
  if (document.kind !== "AdmissionConfiguration" || !VERSIONS.includes(String(document.apiVersion))) {
    throw new AdmissionConfigurationError(
      `${path}: must be an AdmissionConfiguration of ${VERSIONS[0]}, not ${document.kind} of ${document.apiVersion}`,
    );
  }
  const configurations = new Map<string, JsonObject>();
  const plugins = document.plugins ?? [];
  if (!Array.isArray(plugins)) throw new AdmissionConfigurationError(`${path}: plugins must be a list`);
  for (const plugin of plugins) {
    if (!isJsonObject(plugin) || typeof plugin.name !== "string" || plugin.name === "") {
      throw new AdmissionConfigurationError(`${path}: every entry of plugins needs a name`);
    }
    const { name, path: file, configuration } = plugin as { name: string; path?: string; configuration?: unknown };
    if (configurations.has(name)) throw new AdmissionConfigurationError(`${path}: plugin ${name} is configured twice`);
    if (isJsonObject(configuration)) configurations.set(name, configuration);
    else if (file !== undefined && file !== "") {
      configurations.set(name, await readDocument(isAbsolute(file) ? file : join(dirname(path), file)));
    }
  }
  return configurations;
}

async function readDocument(path: string): Promise<JsonObject> {
  let document: unknown;
  try {
    document = parseYaml(await readFile(path, "utf8")).value;
  } catch (error) {
    throw new AdmissionConfigurationError(`${path}: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
  if (!isJsonObject(document)) throw new AdmissionConfigurationError(`${path}: must be a YAML or JSON object`);
  return document;
}

/** Refuses a configuration document of another kind, and fields that nothing reads. */
export function checkDocument(
  plugin: string,
  document: JsonObject,
  expected: { readonly kind: string; readonly apiVersions: readonly string[]; readonly fields: readonly string[] },
): void {
  const { kind, apiVersions, fields } = expected;
  if (document.kind !== kind || !apiVersions.includes(String(document.apiVersion))) {
    throw new AdmissionConfigurationError(
      `configuration of ${plugin}: must be ${kind} of ${apiVersions[0]}, not ${document.kind} of ${document.apiVersion}`,
    );
  }
  const unknown = Object.keys(document).filter((name) => !["kind", "apiVersion", ...fields].includes(name));
  if (unknown.length > 0) {
    throw new AdmissionConfigurationError(`configuration of ${plugin}: unknown field "${unknown[0]}"`);
  }
}
