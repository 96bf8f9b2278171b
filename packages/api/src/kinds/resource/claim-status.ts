/**
 * What schedulers and drivers report of a claim: its devices, who may use it, how each device is. An allocation is written once and taken
 * away whole. Source: k8s.io/kubernetes/pkg/apis/resource/validation, validateResourceClaimStatusUpdate
 */
import { deepEqual } from "../../deep-equal.ts";
import type {
  AllocatedDeviceStatus,
  AllocationResult,
  DeviceRequestAllocationResult,
  NetworkDeviceData,
  ResourceClaim,
  ResourceClaimConsumerReference,
} from "../../generated/types/resource-v1.ts";
import { requireText, validateRequiredOneOf } from "../../validation/common.ts";
import type { FieldErrors } from "../../validation/field-errors.ts";
import { validateInterfaceAddress } from "../../validation/ip.ts";
import { immutable } from "../../validation/object-meta.ts";
import { utf8Length } from "../../validation/sizes.ts";
import { validateNodeSelector } from "../core/pod-spec/scheduling.ts";
import {
  validateBindingConditions,
  validateConfiguration,
  validateDriver,
  validateEach,
  validateLabelName,
  validatePool,
  validateRaw,
  validateTolerations,
  validateUnique,
} from "./device-rules.ts";
import { MAX_CONFIGURATIONS, requestNames, validateRequestReference, validateRequestReferences } from "./requests.ts";

const MAX_CONSUMERS = 256;
const MAX_RESULTS = 32;
const MAX_CONDITIONS = 8;
const MAX_INTERFACE_NAME_BYTES = 256;
const MAX_HARDWARE_ADDRESS_BYTES = 128;
const MAX_ADDRESSES = 16;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

interface DeviceName {
  readonly driver: string;
  readonly pool: string;
  readonly device: string;
  readonly shareID?: string | undefined;
}

/** As errors name a device. Source: structured.SharedDeviceID */
function nameOf({ driver, pool, device, shareID }: DeviceName): string {
  return [driver, pool, device, ...(shareID === undefined ? [] : [shareID])].join("/");
}

function validateName(errors: FieldErrors, path: string, name: DeviceName): void {
  validateDriver(errors, `${path}.driver`, name.driver);
  validatePool(errors, `${path}.pool`, name.pool);
  validateLabelName(errors, `${path}.device`, name.device);
  if (name.shareID === undefined || UUID.test(name.shareID)) return;
  const form = "`xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal characters";
  errors.invalid(`${path}.shareID`, name.shareID, `uid must be in RFC 4122 normalized form, ${form}`);
}

function validateResult(
  errors: FieldErrors,
  path: string,
  result: DeviceRequestAllocationResult,
  names: ReadonlySet<string>,
): void {
  validateRequestReference(errors, `${path}.request`, result.request, names);
  validateName(errors, path, result);
  validateBindingConditions(errors, path, result);
  validateTolerations(errors, `${path}.tolerations`, result.tolerations);
}

function validateAllocation(errors: FieldErrors, allocation: AllocationResult, names: ReadonlySet<string>): void {
  const { devices, nodeSelector } = allocation;
  const at = "status.allocation.devices";
  validateEach(errors, `${at}.results`, devices?.results, MAX_RESULTS, (place, result) =>
    validateResult(errors, place, result, names),
  );
  // Of the class and of the claim.
  validateEach(errors, `${at}.config`, devices?.config, 2 * MAX_CONFIGURATIONS, (place, config) => {
    validateRequiredOneOf(errors, `${place}.source`, config.source, ["FromClaim", "FromClass"]);
    validateRequestReferences(errors, `${place}.requests`, config.requests, names);
    validateConfiguration(errors, place, config);
  });
  if (nodeSelector !== undefined) validateNodeSelector(errors, "status.allocation.nodeSelector", nodeSelector);
}

function validateConsumer(errors: FieldErrors, path: string, consumer: ResourceClaimConsumerReference): void {
  requireText(errors, `${path}.resource`, consumer.resource);
  requireText(errors, `${path}.name`, consumer.name);
  requireText(errors, `${path}.uid`, consumer.uid);
}

function validateNetworkData(errors: FieldErrors, path: string, data: NetworkDeviceData | undefined): void {
  if (data === undefined) return;
  const { interfaceName = "", hardwareAddress = "", ips } = data;
  if (utf8Length(interfaceName) > MAX_INTERFACE_NAME_BYTES) {
    errors.tooLong(`${path}.interfaceName`, MAX_INTERFACE_NAME_BYTES);
  }
  if (utf8Length(hardwareAddress) > MAX_HARDWARE_ADDRESS_BYTES) {
    errors.tooLong(`${path}.hardwareAddress`, MAX_HARDWARE_ADDRESS_BYTES);
  }
  const check = (at: string, address: string) => validateInterfaceAddress(errors, at, address);
  validateUnique(errors, `${path}.ips`, ips, { max: MAX_ADDRESSES, key: (address) => address, check });
}

function validateDeviceStatus(
  errors: FieldErrors,
  path: string,
  device: AllocatedDeviceStatus,
  allocated: ReadonlySet<string>,
): void {
  validateName(errors, path, device);
  if (!allocated.has(nameOf(device))) {
    errors.invalid(path, nameOf(device), "must be an allocated device in the claim");
  }
  const conditions = device.conditions ?? [];
  if (conditions.length > MAX_CONDITIONS) errors.tooMany(`${path}.conditions`, conditions.length, MAX_CONDITIONS);
  if (device.data !== undefined) validateRaw(errors, `${path}.data`, device.data);
  validateNetworkData(errors, `${path}.networkData`, device.networkData);
}

function validateReservations(errors: FieldErrors, claim: ResourceClaim, old: ResourceClaim): void {
  const reserved = claim.status?.reservedFor ?? [];
  const path = "status.reservedFor";
  validateUnique(errors, path, reserved, {
    max: MAX_CONSUMERS,
    key: ({ uid }) => uid,
    check: (at, consumer) => validateConsumer(errors, at, consumer),
  });
  if (reserved.length === 0) return;
  if (claim.status?.allocation === undefined) {
    return errors.forbidden(path, "may not be specified when `allocated` is not set");
  }
  if (claim.metadata.deletionTimestamp === undefined) return;
  const before = old.status?.reservedFor ?? [];
  if (reserved.every((consumer) => before.some((known) => deepEqual(known, consumer)))) return;
  errors.forbidden(path, "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set");
}

export function validateClaimStatus(errors: FieldErrors, claim: ResourceClaim, old: ResourceClaim): void {
  const { allocation, devices } = claim.status ?? {};
  validateReservations(errors, claim, old);
  const allocated = new Set((allocation?.devices?.results ?? []).map(nameOf));
  validateUnique(errors, "status.devices", devices, {
    max: Number.POSITIVE_INFINITY,
    key: nameOf,
    check: (at, device) => validateDeviceStatus(errors, at, device, allocated),
  });
  const before = old.status?.allocation;
  if (allocation === undefined) return;
  if (before === undefined) validateAllocation(errors, allocation, requestNames(claim.spec.devices));
  else if (!deepEqual(allocation, before)) errors.invalid("status.allocation", allocation, immutable);
}
