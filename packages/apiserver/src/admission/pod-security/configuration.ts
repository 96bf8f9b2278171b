/**
 * PodSecurityConfiguration: what holds where a namespace says nothing, and who is exempt.
 * Source: k8s.io/pod-security-admission/admission/api
 */
import { isJsonObject, type JsonObject } from "@knarr/apimachinery/schema.ts";
import { AdmissionConfigurationError, checkDocument } from "../admission-configuration.ts";
import { type LevelVersion, MODES, type Policy, parseLevel, parseVersion } from "./policy-version.ts";

export interface PodSecurityConfiguration {
  readonly defaults: Policy;
  readonly exemptions: {
    readonly usernames: readonly string[];
    readonly namespaces: readonly string[];
    readonly runtimeClasses: readonly string[];
  };
}

export function parsePodSecurityConfiguration(document: JsonObject | undefined): PodSecurityConfiguration {
  if (document !== undefined) {
    checkDocument("PodSecurity", document, {
      kind: "PodSecurityConfiguration",
      apiVersions: ["v1", "v1beta1", "v1alpha1"].map((v) => `pod-security.admission.config.k8s.io/${v}`),
      fields: ["defaults", "exemptions"],
    });
  }
  const defaults = objectIn(document, "defaults");
  const exemptions = objectIn(document, "exemptions");
  const [enforce, audit, warn] = MODES.map((mode) => levelVersionIn(defaults, mode));
  if (enforce === undefined || audit === undefined || warn === undefined)
    throw new Error("three modes, three policies");
  return {
    defaults: { enforce, audit, warn },
    exemptions: {
      usernames: listIn(exemptions, "usernames"),
      namespaces: listIn(exemptions, "namespaces"),
      runtimeClasses: listIn(exemptions, "runtimeClasses"),
    },
  };
}

function levelVersionIn(defaults: JsonObject, mode: string): LevelVersion {
  const level = parseLevel(String(defaults[mode] ?? "privileged"));
  const version = parseVersion(String(defaults[`${mode}-version`] ?? "latest"));
  if (level === undefined) throw wrong(`defaults.${mode}`, "must be privileged, baseline or restricted");
  if (version === undefined) throw wrong(`defaults.${mode}-version`, 'must be "latest" or "v1.x"');
  return { level, version };
}

function objectIn(document: JsonObject | undefined, field: string): JsonObject {
  const value = document?.[field] ?? {};
  if (!isJsonObject(value)) throw wrong(field, "must be an object");
  return value;
}

function listIn(exemptions: JsonObject, field: string): string[] {
  const value = exemptions[field] ?? [];
  const isList = Array.isArray(value) && value.every((item) => typeof item === "string" && item !== "");
  if (!isList) throw wrong(`exemptions.${field}`, "must be a list of names");
  return value as string[];
}

function wrong(field: string, why: string): AdmissionConfigurationError {
  return new AdmissionConfigurationError(`configuration of PodSecurity: ${field}: ${why}`);
}
