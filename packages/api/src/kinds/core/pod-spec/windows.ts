/**
 * What a pod's operating system rules out, and the options of Windows containers.
 * Source: core/validation validateWindows, validateLinux, validateWindowsSecurityContextOptions, validateWindowsHostProcessPod
 */
import { isDns1123Subdomain } from "@knarr/apimachinery/name-validation.ts";
import type { Container, PodSpec, WindowsSecurityContextOptions } from "../../../generated/types/core-v1.ts";
import type { FieldErrors } from "../../../validation/field-errors.ts";

const MAX_CREDENTIAL_SPEC_KIB = 64;
const MAX_USER_NAME = 104;
const MAX_DOMAIN = 256;
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const CONTROL = /[\u0000-\u001f\u007f]/;
const NET_BIOS_DOMAIN = /^[^\\/:*?"<>|.][^\\/:*?"<>|]{0,14}$/;
const DNS_DOMAIN = /^[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?(\.[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?)+$/;
const FORBIDDEN_IN_USER = `"/\\:;|=,+*?<>@[]`;

const LINUX_POD_FIELDS = [
  "appArmorProfile",
  "seLinuxOptions",
  "seccompProfile",
  "fsGroup",
  "fsGroupChangePolicy",
  "sysctls",
  "runAsUser",
  "runAsGroup",
  "supplementalGroups",
  "supplementalGroupsPolicy",
] as const;
const LINUX_CONTAINER_FIELDS = [
  "appArmorProfile",
  "seLinuxOptions",
  "seccompProfile",
  "capabilities",
  "readOnlyRootFilesystem",
  "privileged",
  "allowPrivilegeEscalation",
  "procMount",
  "runAsUser",
  "runAsGroup",
] as const;

export function validateOperatingSystem(errors: FieldErrors, path: string, spec: PodSpec): void {
  if (spec.os?.name === "windows") validateWindowsPod(errors, path, spec);
  if (spec.os?.name === "linux") validateLinuxPod(errors, path, spec);
  validateWindowsOptions(errors, `${path}.securityContext.windowsOptions`, spec.securityContext?.windowsOptions);
  for (const [at, container] of containersOf(path, spec)) {
    const options = container.securityContext?.windowsOptions;
    validateWindowsOptions(errors, `${at}.securityContext.windowsOptions`, options);
  }
  validateHostProcess(errors, path, spec);
}

function containersOf(path: string, spec: PodSpec): [path: string, container: Container][] {
  const named = (field: string, list: readonly Container[] | undefined) =>
    (list ?? []).map((container, i): [string, Container] => [`${path}.${field}[${i}]`, container]);
  return [
    ...named("initContainers", spec.initContainers),
    ...named("containers", spec.containers),
    ...named("ephemeralContainers", spec.ephemeralContainers as readonly Container[] | undefined),
  ];
}

function validateWindowsPod(errors: FieldErrors, path: string, spec: PodSpec): void {
  const not = "cannot be set for a windows pod";
  for (const field of LINUX_POD_FIELDS) {
    if (spec.securityContext?.[field] !== undefined) errors.forbidden(`${path}.securityContext.${field}`, not);
  }
  for (const field of ["hostPID", "hostIPC", "shareProcessNamespace"] as const) {
    if (spec[field] === true) errors.forbidden(`${path}.${field}`, not);
  }
  if (spec.hostUsers !== undefined) errors.forbidden(`${path}.hostUsers`, not);
  for (const [at, container] of containersOf(path, spec)) {
    for (const field of LINUX_CONTAINER_FIELDS) {
      if (container.securityContext?.[field] !== undefined) errors.forbidden(`${at}.securityContext.${field}`, not);
    }
  }
}

function validateLinuxPod(errors: FieldErrors, path: string, spec: PodSpec): void {
  const not = "windows options cannot be set for a linux pod";
  if (spec.securityContext?.windowsOptions !== undefined)
    errors.forbidden(`${path}.securityContext.windowsOptions`, not);
  for (const [at, { securityContext }] of containersOf(path, spec)) {
    if (securityContext?.windowsOptions !== undefined) errors.forbidden(`${at}.securityContext.windowsOptions`, not);
  }
}

function validateWindowsOptions(
  errors: FieldErrors,
  path: string,
  options: WindowsSecurityContextOptions | undefined,
): void {
  if (options === undefined) return;
  const { gmsaCredentialSpecName: name, gmsaCredentialSpec: credentials, runAsUserName: user } = options;
  if (name !== undefined) errors.invalidAll(`${path}.gmsaCredentialSpecName`, name, isDns1123Subdomain(name));
  if (credentials !== undefined) {
    const at = `${path}.gmsaCredentialSpec`;
    if (credentials === "") errors.invalid(at, credentials, "gmsaCredentialSpec cannot be an empty string");
    else if (new TextEncoder().encode(credentials).length > MAX_CREDENTIAL_SPEC_KIB * 1024) {
      errors.invalid(at, credentials, `gmsaCredentialSpec size must be under ${MAX_CREDENTIAL_SPEC_KIB} KiB`);
    }
  }
  if (user !== undefined) validateUserName(errors, `${path}.runAsUserName`, user);
}

/** DOMAIN\USER or USER, and never more than both. */
function validateUserName(errors: FieldErrors, path: string, name: string): void {
  const say = (what: string) => errors.invalid(path, name, `runAsUserName${what}`);
  if (name === "") return say(" cannot be an empty string");
  if (CONTROL.test(name)) return say(" cannot contain control characters");
  const parts = name.split("\\");
  if (parts.length > 2) return say(" cannot contain more than one backslash");
  const [first = "", second] = parts;
  const user = second ?? first;
  if (second !== undefined) {
    if (first.length >= MAX_DOMAIN) say(`'s Domain length must be under ${MAX_DOMAIN} characters`);
    if (!NET_BIOS_DOMAIN.test(first) && !DNS_DOMAIN.test(first)) {
      say("'s Domain doesn't match the NetBios nor the DNS format");
    }
  }
  if (user === "") return say("'s User cannot be empty");
  if (user.length > MAX_USER_NAME) say(`'s User length must not be longer than ${MAX_USER_NAME} characters`);
  if (/^[. ]+$/.test(user)) say("'s User cannot contain only periods or spaces");
  if ([...user].some((char) => FORBIDDEN_IN_USER.includes(char))) {
    say(`'s User cannot contain the following characters: ${FORBIDDEN_IN_USER}`);
  }
}

/** Host processes: all containers or none, on the host's network, and pod and containers agree. */
function validateHostProcess(errors: FieldErrors, path: string, spec: PodSpec): void {
  const ofPod = spec.securityContext?.windowsOptions?.hostProcess;
  const all = containersOf(path, spec);
  let count = 0;
  for (const [at, { securityContext }] of all) {
    const own = securityContext?.windowsOptions?.hostProcess;
    if (ofPod !== undefined && own !== undefined && own !== ofPod) {
      const detail = `pod hostProcess value must be identical if both are specified, was ${ofPod}`;
      errors.invalid(`${at}.securityContext.windowsOptions.hostProcess`, own, detail);
    }
    if (own ?? ofPod ?? false) count += 1;
  }
  if (count === 0) return;
  if (count < all.length) {
    errors.invalid(
      path,
      "",
      "If pod contains any hostProcess containers then all containers must be HostProcess containers",
    );
  }
  if (spec.hostNetwork !== true) {
    errors.invalid(
      `${path}.hostNetwork`,
      spec.hostNetwork ?? false,
      "hostNetwork must be true if pod contains any hostProcess containers",
    );
  }
}
