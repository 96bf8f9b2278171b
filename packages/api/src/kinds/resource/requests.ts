/** Requests for devices, in claims and in claim templates. Source: k8s.io/kubernetes/pkg/apis/resource/{v1,validation} */
import type {
  DeviceClaim,
  DeviceConstraint,
  DeviceRequest,
  DeviceSubRequest,
  ResourceClaimSpec,
} from "../../generated/types/resource-v1.ts";
import { requireText, validateOneOf } from "../../validation/common.ts";
import type { FieldErrors } from "../../validation/field-errors.ts";
import { subdomainName } from "../../validation/names.ts";
import {
  validateConfiguration,
  validateEach,
  validateFullAttributeName,
  validateLabelName,
  validateSelectors,
  validateTolerations,
  validateUnique,
} from "./device-rules.ts";

export const MAX_REQUESTS = 32;
const MAX_ALTERNATIVES = 8;
const MAX_CONSTRAINTS = 32;
export const MAX_CONFIGURATIONS = 32;

/** Mutates. Source: SetDefaults_ExactDeviceRequest, SetDefaults_DeviceSubRequest */
export function defaultClaimSpec(spec: ResourceClaimSpec | undefined): void {
  for (const request of spec?.devices?.requests ?? []) {
    const each = [...(request.exactly === undefined ? [] : [request.exactly]), ...(request.firstAvailable ?? [])];
    for (const wanted of each) {
      wanted.allocationMode ||= "ExactCount";
      if (wanted.allocationMode === "ExactCount") wanted.count ||= 1;
      for (const toleration of wanted.tolerations ?? []) toleration.operator ||= "Equal";
    }
  }
}

function validateWanted(errors: FieldErrors, at: string, device: Omit<DeviceSubRequest, "name">): void {
  if (requireText(errors, `${at}.deviceClassName`, device.deviceClassName)) {
    errors.invalidAll(`${at}.deviceClassName`, device.deviceClassName, subdomainName(device.deviceClassName, false));
  }
  validateSelectors(errors, `${at}.selectors`, device.selectors);
  validateOneOf(errors, `${at}.allocationMode`, device.allocationMode, ["All", "ExactCount"]);
  if (device.allocationMode === "ExactCount" && (device.count ?? 0) <= 0) {
    errors.invalid(`${at}.count`, device.count ?? 0, "must be greater than zero");
  }
  if (device.allocationMode === "All" && (device.count ?? 0) !== 0) {
    errors.invalid(`${at}.count`, device.count, "must not be specified when allocationMode is 'All'");
  }
  validateTolerations(errors, `${at}.tolerations`, device.tolerations);
}

function validateRequest(errors: FieldErrors, path: string, request: DeviceRequest): void {
  validateLabelName(errors, `${path}.name`, request.name);
  const hasAlternatives = (request.firstAvailable?.length ?? 0) > 0;
  if (request.exactly !== undefined && hasAlternatives) {
    errors.invalid(path, null, "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set");
  } else if (request.exactly !== undefined) validateWanted(errors, `${path}.exactly`, request.exactly);
  else if (!hasAlternatives) errors.required(path, "exactly one of `exactly` or `firstAvailable` is required");
  else {
    validateUnique(errors, `${path}.firstAvailable`, request.firstAvailable, {
      max: MAX_ALTERNATIVES,
      key: ({ name }) => name,
      check: (at, alternative) => {
        validateLabelName(errors, `${at}.name`, alternative.name);
        validateWanted(errors, at, alternative);
      },
    });
  }
}

/** "REQUEST" and "REQUEST/ALTERNATIVE" of every request. */
export function requestNames(devices: DeviceClaim | undefined): ReadonlySet<string> {
  const names = new Set<string>();
  for (const { name, firstAvailable } of devices?.requests ?? []) {
    names.add(name);
    for (const alternative of firstAvailable ?? []) names.add(`${name}/${alternative.name}`);
  }
  return names;
}

export function validateRequestReference(
  errors: FieldErrors,
  path: string,
  name: string,
  names: ReadonlySet<string>,
): void {
  const parts = name.split("/");
  if (parts.length <= 2) for (const part of parts) validateLabelName(errors, path, part);
  if (names.has(name)) return;
  const rule = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";
  errors.invalid(path, name, rule);
}

export function validateRequestReferences(
  errors: FieldErrors,
  path: string,
  references: readonly string[] | undefined,
  names: ReadonlySet<string>,
): void {
  const check = (at: string, name: string) => validateRequestReference(errors, at, name, names);
  validateUnique(errors, path, references, { max: MAX_REQUESTS, key: (name) => name, check });
}

function validateConstraint(errors: FieldErrors, path: string, constraint: DeviceConstraint): void {
  const { matchAttribute, distinctAttribute } = constraint;
  if (matchAttribute !== undefined) {
    validateFullAttributeName(errors, `${path}.matchAttribute`, matchAttribute);
  } else if (distinctAttribute !== undefined) {
    validateFullAttributeName(errors, `${path}.distinctAttribute`, distinctAttribute);
  } else {
    const rule = 'exactly one of "matchAttribute" or "distinctAttribute" is required';
    errors.required(path, `${rule}, but multiple fields are set`);
  }
}

export function validateClaimSpec(errors: FieldErrors, path: string, { devices }: ResourceClaimSpec): void {
  const at = `${path}.devices`;
  const names = requestNames(devices);
  validateUnique(errors, `${at}.requests`, devices?.requests, {
    max: MAX_REQUESTS,
    key: ({ name }) => name,
    check: (place, request) => validateRequest(errors, place, request),
  });
  validateEach(errors, `${at}.constraints`, devices?.constraints, MAX_CONSTRAINTS, (place, constraint) => {
    validateRequestReferences(errors, `${place}.requests`, constraint.requests, names);
    validateConstraint(errors, place, constraint);
  });
  validateEach(errors, `${at}.config`, devices?.config, MAX_CONFIGURATIONS, (place, config) => {
    validateRequestReferences(errors, `${place}.requests`, config.requests, names);
    validateConfiguration(errors, place, config);
  });
}
