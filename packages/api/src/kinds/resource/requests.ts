/** Requests for devices, in claims and in claim templates. Source: k8s.io/kubernetes/pkg/apis/resource/{v1,validation} */
import { isDns1123Label } from "@knarr/apimachinery/name-validation.ts";
import type { DeviceRequest, ResourceClaimSpec } from "../../generated/types/resource-v1.ts";
import { requireText, validateOneOf } from "../../validation/common.ts";
import type { FieldErrors } from "../../validation/field-errors.ts";
import { subdomainName } from "../../validation/names.ts";

const maxRequests = 32;

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

function validateRequest(errors: FieldErrors, path: string, request: DeviceRequest): void {
  if (requireText(errors, `${path}.name`, request.name)) {
    errors.invalidAll(`${path}.name`, request.name, isDns1123Label(request.name));
  }
  const alternatives = request.firstAvailable ?? [];
  if (request.exactly !== undefined && alternatives.length > 0) {
    errors.invalid(path, null, "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set");
  } else if (request.exactly === undefined && alternatives.length === 0) {
    errors.required(path, "exactly one of `exactly` or `firstAvailable` is required");
  }
  const wanted = [
    ...(request.exactly === undefined ? [] : [[`${path}.exactly`, request.exactly] as const]),
    ...alternatives.map((alternative, i) => [`${path}.firstAvailable[${i}]`, alternative] as const),
  ];
  for (const [at, device] of wanted) {
    if (requireText(errors, `${at}.deviceClassName`, device.deviceClassName)) {
      errors.invalidAll(`${at}.deviceClassName`, device.deviceClassName, subdomainName(device.deviceClassName, false));
    }
    validateOneOf(errors, `${at}.allocationMode`, device.allocationMode, ["All", "ExactCount"]);
    if (device.allocationMode === "ExactCount" && (device.count ?? 0) <= 0) {
      errors.invalid(`${at}.count`, device.count ?? 0, "must be greater than zero");
    }
    if (device.allocationMode === "All" && (device.count ?? 0) !== 0) {
      errors.invalid(`${at}.count`, device.count, "must not be specified when allocationMode is 'All'");
    }
  }
}

export function validateClaimSpec(errors: FieldErrors, path: string, spec: ResourceClaimSpec): void {
  const requests = spec.devices?.requests ?? [];
  if (requests.length > maxRequests) errors.tooMany(`${path}.devices.requests`, requests.length, maxRequests);
  const names = new Set<string>();
  for (const [i, request] of requests.entries()) {
    const at = `${path}.devices.requests[${i}]`;
    validateRequest(errors, at, request);
    if (names.has(request.name)) errors.duplicate(`${at}.name`, request.name);
    names.add(request.name);
  }
  for (const [i, constraint] of (spec.devices?.constraints ?? []).entries()) {
    for (const [j, name] of (constraint.requests ?? []).entries()) {
      if (!names.has(name.split("/")[0] ?? "")) {
        errors.invalid(
          `${path}.devices.constraints[${i}].requests[${j}]`,
          name,
          "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'",
        );
      }
    }
  }
}
