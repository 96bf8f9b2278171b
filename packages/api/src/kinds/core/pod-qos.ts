/** Quality-of-service class. Source: k8s.io/kubernetes/pkg/apis/core/v1/helper/qos */
import { compareQuantities, isQuantity } from "@knarr/apimachinery/quantity.ts";
import type { PodSpec } from "../../generated/types/core-v1.ts";
import type { ResourceList } from "./resource-list.ts";

interface Requirements {
  readonly requests?: ResourceList | undefined;
  readonly limits?: ResourceList | undefined;
}

const counted = ["cpu", "memory"] as const;

function positive(list: ResourceList | undefined, name: string): string | undefined {
  const amount = list?.[name];
  return amount !== undefined && isQuantity(amount) && compareQuantities(amount, "0") > 0 ? amount : undefined;
}

/** Every counted resource has a limit, and its request equals it. */
function isGuaranteed(all: readonly Requirements[]): boolean {
  return all.every((r) =>
    counted.every((name) => {
      const limit = positive(r.limits, name);
      const request = positive(r.requests, name);
      return limit !== undefined && (request === undefined || compareQuantities(request, limit) === 0);
    }),
  );
}

function isBestEffort(all: readonly Requirements[]): boolean {
  return all.every((r) =>
    counted.every((name) => positive(r.limits, name) === undefined && positive(r.requests, name) === undefined),
  );
}

export function podQosClass(spec: PodSpec): "Guaranteed" | "Burstable" | "BestEffort" {
  const podLevel = spec.resources;
  const isPodLevel = podLevel !== undefined && (podLevel.requests !== undefined || podLevel.limits !== undefined);
  const containers = [...(spec.containers ?? []), ...(spec.initContainers ?? [])];
  const all: Requirements[] = isPodLevel ? [podLevel] : containers.map((c) => c.resources ?? {});
  if (isBestEffort(all)) return "BestEffort";
  return isGuaranteed(all) ? "Guaranteed" : "Burstable";
}
