/** Pod specs and pod templates as a whole. Source: core/validation ValidatePodSpec, ValidatePodTemplateSpec, ValidatePodCreate */
import { isDns1123Label, isDns1123Subdomain, isQualifiedName } from "@knarr/apimachinery/name-validation.ts";
import type { Pod, PodSpec, PodTemplateSpec } from "../../../generated/types/core-v1.ts";
import { requireText, validateOneOf, validateQuantity, validateRequiredOneOf } from "../../../validation/common.ts";
import type { FieldErrors } from "../../../validation/field-errors.ts";
import { isIp } from "../../../validation/ip.ts";
import { rangeError, subdomainName } from "../../../validation/names.ts";
import { validateAnnotations, validateLabels } from "../../../validation/object-meta.ts";
import { validateContainers, validateEphemeralContainers, validateInitContainers } from "./containers.ts";
import { validatePodLevelResources } from "./resources.ts";
import { validateAffinity, validateTolerations, validateTopologySpread } from "./scheduling.ts";
import { validatePodSecurityContext } from "./security.ts";
import { validateVolumes } from "./volumes.ts";
import { validateOperatingSystem } from "./windows.ts";

const maxInt32 = 2147483647;
const dnsPolicies = ["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"];

function validateDns(errors: FieldErrors, path: string, spec: PodSpec): void {
  validateRequiredOneOf(errors, `${path}.dnsPolicy`, spec.dnsPolicy, dnsPolicies);
  const { dnsConfig } = spec;
  const nameservers = dnsConfig?.nameservers ?? [];
  if (spec.dnsPolicy === "None" && dnsConfig === undefined) {
    errors.required(`${path}.dnsConfig`, "must provide `dnsConfig` when `dnsPolicy` is None");
  } else if (spec.dnsPolicy === "None" && nameservers.length === 0) {
    errors.required(
      `${path}.dnsConfig.nameservers`,
      "must provide at least one DNS nameserver when `dnsPolicy` is None",
    );
  }
  if (nameservers.length > 3) {
    errors.invalid(`${path}.dnsConfig.nameservers`, nameservers, "must not have more than 3 nameservers");
  }
  for (const [i, server] of nameservers.entries()) {
    if (!isIp(server)) {
      const detail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
      errors.invalid(`${path}.dnsConfig.nameservers[${i}]`, server, detail);
    }
  }
  const searches = dnsConfig?.searches ?? [];
  if (searches.length > 32) {
    errors.invalid(`${path}.dnsConfig.searches`, searches, "must not have more than 32 search paths");
  }
  for (const [i, search] of searches.entries()) {
    if (search !== ".") {
      const name = search.endsWith(".") ? search.slice(0, -1) : search;
      errors.invalidAll(`${path}.dnsConfig.searches[${i}]`, name, isDns1123Subdomain(name.replaceAll("_", "a")));
    }
  }
  for (const [i, option] of (dnsConfig?.options ?? []).entries()) {
    requireText(errors, `${path}.dnsConfig.options[${i}]`, option.name, "must not be empty");
  }
}

function validateNames(errors: FieldErrors, path: string, spec: PodSpec): void {
  const check = (field: "serviceAccountName" | "nodeName" | "priorityClassName" | "runtimeClassName") => {
    const value = spec[field] ?? "";
    if (value !== "") errors.invalidAll(`${path}.${field}`, value, subdomainName(value, false));
  };
  check("serviceAccountName");
  check("nodeName");
  for (const field of ["hostname", "subdomain"] as const) {
    const value = spec[field] ?? "";
    if (value !== "") errors.invalidAll(`${path}.${field}`, value, isDns1123Label(value));
  }
  const override = spec.hostnameOverride;
  if (override !== undefined) {
    errors.invalidAll(`${path}.hostnameOverride`, override, isDns1123Subdomain(override));
    if (override.length > 64)
      errors.invalid(`${path}.hostnameOverride`, override, "must be no more than 64 characters");
    if (spec.setHostnameAsFQDN === true) {
      errors.forbidden(`${path}.hostnameOverride`, "may not be specified when setHostnameAsFQDN is true");
    }
    if (spec.hostNetwork === true)
      errors.forbidden(`${path}.hostnameOverride`, "may not be specified when hostNetwork is true");
  }
  check("priorityClassName");
  check("runtimeClassName");
}

function validateGates(errors: FieldErrors, path: string, spec: PodSpec): void {
  for (const [i, gate] of (spec.readinessGates ?? []).entries()) {
    errors.invalidAll(
      `${path}.readinessGates[${i}].conditionType`,
      gate.conditionType,
      isQualifiedName(gate.conditionType),
    );
  }
  const seen = new Set<string>();
  for (const [i, gate] of (spec.schedulingGates ?? []).entries()) {
    const at = `${path}.schedulingGates[${i}]`;
    errors.invalidAll(at, gate.name, isQualifiedName(gate.name));
    if (seen.has(gate.name)) errors.duplicate(at, gate.name);
    seen.add(gate.name);
  }
}

function validateHost(errors: FieldErrors, path: string, spec: PodSpec): void {
  for (const [i, alias] of (spec.hostAliases ?? []).entries()) {
    const at = `${path}.hostAliases[${i}]`;
    if (!isIp(alias.ip)) {
      errors.invalid(`${at}.ip`, alias.ip, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
    }
    for (const [j, name] of (alias.hostnames ?? []).entries()) {
      errors.invalidAll(`${at}.hostnames[${j}]`, name, isDns1123Subdomain(name));
    }
  }
  if (spec.hostUsers !== false) return;
  for (const field of ["hostNetwork", "hostPID", "hostIPC"] as const) {
    if (spec[field] === true) errors.forbidden(`${path}.${field}`, "when `hostUsers` is false");
  }
}

/** Annotation-free; `path` is "spec" or "spec.template.spec". */
export function validatePodSpec(errors: FieldErrors, path: string, spec: PodSpec): void {
  const volumes = validateVolumes(errors, `${path}.volumes`, spec.volumes);
  const claims = validateResourceClaims(errors, `${path}.resourceClaims`, spec);
  const context = { spec, volumes, claims };
  validateContainers(errors, `${path}.containers`, context);
  validateInitContainers(errors, `${path}.initContainers`, context);
  validateEphemeralContainers(errors, `${path}.ephemeralContainers`, context);
  validatePodLevelResources(errors, `${path}.resources`, spec.resources, spec.containers ?? []);
  validateRequiredOneOf(errors, `${path}.restartPolicy`, spec.restartPolicy, ["Always", "OnFailure", "Never"]);
  validateDns(errors, path, spec);
  validateLabels(errors, `${path}.nodeSelector`, spec.nodeSelector);
  validatePodSecurityContext(errors, `${path}.securityContext`, spec);
  for (const [i, secret] of (spec.imagePullSecrets ?? []).entries()) {
    requireText(errors, `${path}.imagePullSecrets[${i}].name`, secret.name);
  }
  validateAffinity(errors, `${path}.affinity`, spec.affinity);
  validateGates(errors, path, spec);
  validateTopologySpread(errors, `${path}.topologySpreadConstraints`, spec.topologySpreadConstraints);
  validateNames(errors, path, spec);
  const { activeDeadlineSeconds } = spec;
  if (activeDeadlineSeconds !== undefined && (activeDeadlineSeconds < 1 || activeDeadlineSeconds > maxInt32)) {
    errors.invalid(`${path}.activeDeadlineSeconds`, activeDeadlineSeconds, rangeError(1, maxInt32));
  }
  validateTolerations(errors, `${path}.tolerations`, spec.tolerations);
  validateHost(errors, path, spec);
  if (spec.preemptionPolicy !== undefined) {
    validateRequiredOneOf(errors, `${path}.preemptionPolicy`, spec.preemptionPolicy, ["Never", "PreemptLowerPriority"]);
  }
  for (const [name, amount] of Object.entries(spec.overhead ?? {})) {
    validateQuantity(errors, `${path}.overhead[${name}]`, amount);
  }
  if (spec.os !== undefined) {
    if ((spec.os.name ?? "") === "") errors.required(`${path}.os.name`, "cannot be empty");
    else validateOneOf(errors, `${path}.os`, spec.os.name, ["linux", "windows"]);
  }
  validateOperatingSystem(errors, path, spec);
}

function validateResourceClaims(errors: FieldErrors, path: string, spec: PodSpec): Set<string> {
  const names = new Set<string>();
  for (const [i, claim] of (spec.resourceClaims ?? []).entries()) {
    const at = `${path}[${i}]`;
    if (!requireText(errors, `${at}.name`, claim.name)) continue;
    if (names.has(claim.name)) errors.duplicate(`${at}.name`, claim.name);
    errors.invalidAll(`${at}.name`, claim.name, isDns1123Label(claim.name));
    names.add(claim.name);
    const both = claim.resourceClaimName !== undefined && claim.resourceClaimTemplateName !== undefined;
    const detail = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified";
    if (both) errors.invalid(at, claim, detail);
    else if (claim.resourceClaimName === undefined && claim.resourceClaimTemplateName === undefined) {
      errors.invalid(at, claim, "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`");
    }
  }
  return names;
}

/** Labels, annotations and spec of a template. */
export function validatePodTemplate(errors: FieldErrors, path: string, template: PodTemplateSpec): void {
  validateLabels(errors, `${path}.labels`, template.metadata?.labels);
  validateAnnotations(errors, `${path}.annotations`, template.metadata?.annotations);
  if (template.spec === undefined) return;
  validatePodSpec(errors, `${path}.spec`, template.spec);
  if ((template.spec.ephemeralContainers?.length ?? 0) > 0) {
    errors.forbidden(`${path}.spec.ephemeralContainers`, "ephemeral containers not allowed in pod template");
  }
}

/** Everything of a pod but what only concerns updates. */
export function validatePod(errors: FieldErrors, pod: Pod, old: Pod | undefined): void {
  if (pod.spec === undefined) return;
  validatePodSpec(errors, "spec", pod.spec);
  if (old !== undefined) return;
  if ((pod.spec.ephemeralContainers?.length ?? 0) > 0) {
    errors.forbidden("spec.ephemeralContainers", "cannot be set on create");
  }
  if ((pod.spec.nodeName ?? "") !== "" && (pod.spec.schedulingGates?.length ?? 0) > 0) {
    errors.forbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared");
  }
}
