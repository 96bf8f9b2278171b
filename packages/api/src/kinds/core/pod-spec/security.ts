/** Security contexts. Source: core/validation ValidateSecurityContext, validatePodSpecSecurityContext */
import type {
  AppArmorProfile,
  PodSecurityContext,
  PodSpec,
  SeccompProfile,
  SecurityContext,
} from "../../../generated/types/core-v1.ts";
import { requireText, validateOneOf, validateRequiredOneOf } from "../../../validation/common.ts";
import type { FieldErrors } from "../../../validation/field-errors.ts";
import { userIdErrors } from "../../../validation/names.ts";

const sysctlPattern = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?([\\./][a-z0-9]([-_a-z0-9]*[a-z0-9])?)*";
const sysctlRegExp = new RegExp(`^${sysctlPattern}$`);

function validateId(errors: FieldErrors, path: string, id: number | undefined): void {
  if (id !== undefined) errors.invalidAll(path, id, userIdErrors(id));
}

function validateSeccomp(errors: FieldErrors, path: string, profile: SeccompProfile | undefined): void {
  if (profile === undefined) return;
  validateRequiredOneOf(errors, `${path}.type`, profile.type, ["Localhost", "RuntimeDefault", "Unconfined"]);
  const file = profile.localhostProfile;
  if (profile.type === "Localhost") {
    if (file === undefined) errors.required(`${path}.localhostProfile`, "must be set when seccomp type is Localhost");
    else if (file.startsWith("/")) errors.invalid(`${path}.localhostProfile`, file, "must be a relative path");
    else if (file.split("/").includes("..")) errors.invalid(`${path}.localhostProfile`, file, "must not contain '..'");
  } else if (file !== undefined) {
    errors.invalid(`${path}.localhostProfile`, file, "can only be set when seccomp type is Localhost");
  }
}

function validateAppArmor(errors: FieldErrors, path: string, profile: AppArmorProfile | undefined): void {
  if (profile === undefined) return;
  const name = profile.localhostProfile;
  if ((profile.type ?? "") === "") errors.required(`${path}.type`, "type is required when appArmorProfile is set");
  else validateOneOf(errors, `${path}.type`, profile.type, ["Localhost", "RuntimeDefault", "Unconfined"]);
  if (profile.type === "Localhost") {
    if (name === undefined) errors.required(`${path}.localhostProfile`, "must be set when AppArmor type is Localhost");
    else if (name.trim() === "")
      errors.required(`${path}.localhostProfile`, "must be set when AppArmor type is Localhost");
    else if (name.trim() !== name) {
      errors.invalid(`${path}.localhostProfile`, name, "must not be padded with whitespace");
    }
  } else if (name !== undefined) {
    errors.invalid(`${path}.localhostProfile`, name, "can only be set when AppArmor type is Localhost");
  }
}

function validateSysctls(errors: FieldErrors, path: string, context: PodSecurityContext, spec: PodSpec): void {
  const seen = new Set<string>();
  for (const [i, sysctl] of (context.sysctls ?? []).entries()) {
    const at = `${path}[${i}].name`;
    if (!requireText(errors, at, sysctl.name)) continue;
    if (sysctl.name.length > 253 || !sysctlRegExp.test(sysctl.name)) {
      errors.invalid(at, sysctl.name, `must have at most 253 characters and match regex ^${sysctlPattern}$`);
    } else if (seen.has(sysctl.name)) errors.duplicate(at, sysctl.name);
    if (spec.hostNetwork === true && sysctl.name.startsWith("net.")) {
      errors.invalid(at, sysctl.name, "may not be specified when 'hostNetwork' is true");
    }
    if (spec.hostIPC === true && /^(kernel\.(shm|msg|sem)|fs\.mqueue\.)/.test(sysctl.name)) {
      errors.invalid(at, sysctl.name, "may not be specified when 'hostIPC' is true");
    }
    seen.add(sysctl.name);
  }
}

export function validatePodSecurityContext(errors: FieldErrors, path: string, spec: PodSpec): void {
  const context = spec.securityContext;
  if (context === undefined) return;
  validateId(errors, `${path}.fsGroup`, context.fsGroup);
  validateId(errors, `${path}.runAsUser`, context.runAsUser);
  validateId(errors, `${path}.runAsGroup`, context.runAsGroup);
  for (const [i, id] of (context.supplementalGroups ?? []).entries()) {
    validateId(errors, `${path}.supplementalGroups[${i}]`, id);
  }
  if (spec.shareProcessNamespace === true && spec.hostPID === true) {
    errors.invalid(`${path}.shareProcessNamespace`, true, "ShareProcessNamespace and HostPID cannot both be enabled");
  }
  validateSysctls(errors, `${path}.sysctls`, context, spec);
  if (context.fsGroupChangePolicy !== undefined) {
    validateOneOf(errors, `${path}.fsGroupChangePolicy`, context.fsGroupChangePolicy, ["Always", "OnRootMismatch"]);
  }
  if (context.supplementalGroupsPolicy !== undefined) {
    validateOneOf(errors, `${path}.supplementalGroupsPolicy`, context.supplementalGroupsPolicy, ["Merge", "Strict"]);
  }
  validateSeccomp(errors, `${path}.seccompProfile`, context.seccompProfile);
  validateAppArmor(errors, `${path}.appArmorProfile`, context.appArmorProfile);
}

export function validateSecurityContext(
  errors: FieldErrors,
  path: string,
  context: SecurityContext | undefined,
  hostUsers: boolean,
): void {
  if (context === undefined) return;
  validateId(errors, `${path}.runAsUser`, context.runAsUser);
  validateId(errors, `${path}.runAsGroup`, context.runAsGroup);
  if (context.procMount !== undefined) {
    validateOneOf(errors, `${path}.procMount`, context.procMount, ["Default", "Unmasked"]);
    if (hostUsers && context.procMount === "Unmasked") {
      errors.invalid(`${path}.procMount`, context.procMount, "`hostUsers` must be false to use `Unmasked`");
    }
  }
  validateSeccomp(errors, `${path}.seccompProfile`, context.seccompProfile);
  validateAppArmor(errors, `${path}.appArmorProfile`, context.appArmorProfile);
  if (context.allowPrivilegeEscalation !== false) return;
  const cannot = "cannot set `allowPrivilegeEscalation` to false and";
  if (context.privileged === true) errors.invalid(path, context, `${cannot} \`privileged\` to true`);
  if (context.capabilities?.add?.some((capability) => capability === "CAP_SYS_ADMIN")) {
    errors.invalid(path, context, `${cannot} \`capabilities.Add\` CAP_SYS_ADMIN`);
  }
}
