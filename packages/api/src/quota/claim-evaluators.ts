/**
 * PersistentVolumeClaims (number and size, also per storage class) and ResourceClaims (devices per device class).
 * Source: k8s.io/kubernetes/pkg/quota/v1/evaluator/core/{persistent_volume_claims,resource_claims}.go
 */
import {
  canonicalQuantity,
  compareQuantities,
  formatQuantity,
  parseQuantity,
  roundQuantityUp,
} from "@knarr/apimachinery/quantity.ts";
import type { PersistentVolumeClaim } from "../generated/types/core-v1.ts";
import type { DeviceSubRequest, ResourceClaim } from "../generated/types/resource-v1.ts";
import { matchesScopeValue, type QuotaEvaluator } from "./evaluator.ts";
import { addResources, maxResources, type ResourceQuantities } from "./resource-lists.ts";

const CLAIM_NAMES = ["persistentvolumeclaims", "requests.storage"];
const BY_STORAGE_CLASS = ".storageclass.storage.k8s.io/";
const BY_DEVICE_CLASS = ".deviceclass.resource.k8s.io/devices";
const CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class";
/** What "all devices of the class" counts as. Source: resource.k8s.io/v1 AllocationResultsMaxSize */
const ALL_DEVICES = 32;

export const persistentVolumeClaimEvaluator: QuotaEvaluator = {
  group: "",
  resource: "persistentvolumeclaims",
  matchingResources: (names) =>
    names.filter(
      (name) =>
        name === "count/persistentvolumeclaims" ||
        CLAIM_NAMES.includes(name) ||
        CLAIM_NAMES.some((part) => name.endsWith(`${BY_STORAGE_CLASS}${part}`)),
    ),
  matchesScope: (scope, object) =>
    scope.scopeName === "VolumeAttributesClass" && matchesScopeValue(scope, attributesClasses(object)),
  usage: (object) => claimUsage(object as PersistentVolumeClaim),
  handles: ({ operation, subresource, object, oldObject }) => {
    if (subresource === "") return operation === "CREATE" || operation === "UPDATE";
    return subresource === "status" && operation === "UPDATE" && grows(object, oldObject);
  },
};

function attributesClasses(object: PersistentVolumeClaim): string[] {
  const names = [
    object.spec?.volumeAttributesClassName ?? "",
    object.status?.currentVolumeAttributesClassName ?? "",
    object.status?.modifyVolumeStatus?.targetVolumeAttributesClassName ?? "",
  ];
  return [...new Set(names.filter((name) => name !== ""))];
}

/** Whether a write of the status changes what the claim counts for. */
function grows(now: PersistentVolumeClaim | undefined, before: PersistentVolumeClaim | undefined): boolean {
  if (now === undefined || before === undefined) return false;
  const allocated = (claim: PersistentVolumeClaim) => claim.status?.allocatedResources?.storage;
  return (
    allocated(now) !== allocated(before) ||
    attributesClasses(now).sort().join() !== attributesClasses(before).sort().join()
  );
}

function claimUsage(claim: PersistentVolumeClaim): ResourceQuantities {
  const storageClass = claim.metadata?.annotations?.[CLASS_ANNOTATION] ?? claim.spec?.storageClassName ?? "";
  const usage: Record<string, string> = { persistentvolumeclaims: "1", "count/persistentvolumeclaims": "1" };
  const storage = storageOf(claim);
  if (storage !== undefined) usage["requests.storage"] = storage;
  if (storageClass !== "") {
    usage[`${storageClass}${BY_STORAGE_CLASS}persistentvolumeclaims`] = "1";
    if (storage !== undefined) usage[`${storageClass}${BY_STORAGE_CLASS}requests.storage`] = storage;
  }
  return usage;
}

/** Whole bytes; while a volume grows, the larger of what is asked for and what is allocated. */
function storageOf(claim: PersistentVolumeClaim): string | undefined {
  const asked = claim.spec?.resources?.requests?.storage;
  if (asked === undefined) return undefined;
  const allocated = claim.status?.allocatedResources?.storage;
  const larger = allocated !== undefined && compareQuantities(allocated, asked) > 0 ? allocated : asked;
  const rounded = roundQuantityUp(parseQuantity(larger), 0);
  return rounded.nanos === parseQuantity(larger).nanos ? canonicalQuantity(larger) : formatQuantity(rounded);
}

export const resourceClaimEvaluator: QuotaEvaluator = {
  group: "resource.k8s.io",
  resource: "resourceclaims",
  matchingResources: (names) =>
    names.filter((name) => name === "count/resourceclaims.resource.k8s.io" || name.endsWith(BY_DEVICE_CLASS)),
  matchesScope: () => false,
  usage: (object) => deviceUsage(object as ResourceClaim),
  handles: ({ operation, subresource }) => subresource === "" && (operation === "CREATE" || operation === "UPDATE"),
};

function deviceUsage(claim: ResourceClaim): ResourceQuantities {
  let usage: ResourceQuantities = { "count/resourceclaims.resource.k8s.io": "1" };
  for (const request of claim.spec?.devices?.requests ?? []) {
    if (request.exactly !== undefined) usage = addResources(usage, devicesOf(request.exactly));
    // One of the alternatives will be taken: the dearest counts.
    const alternatives = (request.firstAvailable ?? []).map(devicesOf);
    usage = addResources(usage, alternatives.reduce<ResourceQuantities>(maxResources, {}));
  }
  return usage;
}

function devicesOf(request: Pick<DeviceSubRequest, "allocationMode" | "count" | "deviceClassName">) {
  const count = request.allocationMode === "All" ? ALL_DEVICES : (request.count ?? 1);
  return { [`${request.deviceClassName}${BY_DEVICE_CLASS}`]: String(count) };
}
