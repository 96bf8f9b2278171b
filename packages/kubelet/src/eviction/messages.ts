/** What an evicted pod's status and event say, in upstream's words: people and dashboards match them. Pure. */
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { formatQuantity, parseQuantity } from "@knarr/apimachinery/quantity.ts";
import { lastingContainers, type PodUsage } from "./pod-usage.ts";
import { MEANING, type Observations, type ScarceResource } from "./signals.ts";
import { amountOf, type Threshold } from "./thresholds.ts";

export const EVICTED = "Evicted";

/** 104857600 -> "100Mi": whole numbers in upstream's binary format. */
export function binaryQuantity(amount: number): string {
  return formatQuantity({ nanos: BigInt(Math.trunc(amount)) * 1_000_000_000n, format: "BinarySI" });
}

export interface EvictionText {
  readonly message: string;
  /** Of the event. */
  readonly annotations: Readonly<Record<string, string>>;
}

function used(usage: PodUsage["containers"][number], resource: ScarceResource): number | undefined {
  if (resource === "memory") return usage.memoryBytes;
  if (resource !== "ephemeral-storage" || usage.rootfs === undefined || usage.logs === undefined) return undefined;
  return usage.rootfs.bytes + usage.logs.bytes;
}

export function evictionText(
  pod: Pod,
  resource: ScarceResource,
  usage: PodUsage | undefined,
  thresholds: readonly Threshold[],
  observations: Observations,
): EvictionText {
  let message = `The node was low on resource: ${resource}. `;
  const threshold = thresholds.find(
    (t) => MEANING[t.signal].resource === resource && observations[t.signal] !== undefined,
  );
  const observed = threshold === undefined ? undefined : observations[threshold.signal];
  if (threshold !== undefined && observed !== undefined) {
    const quantity = binaryQuantity(amountOf(threshold.value, observed.capacity));
    message += `Threshold quantity: ${quantity}, available: ${binaryQuantity(observed.available)}. `;
  }
  const offenders: string[] = [];
  const amounts: string[] = [];
  const containers = lastingContainers(pod);
  for (const stats of usage?.containers ?? []) {
    const container = containers.find((c) => c.name === stats.name);
    const amount = used(stats, resource);
    if (container === undefined || amount === undefined) continue;
    const request = parseQuantity(String(container.resources?.requests?.[resource] ?? "0"));
    if (BigInt(Math.trunc(amount)) * 1_000_000_000n <= request.nanos) continue;
    const text = binaryQuantity(amount);
    message +=
      `Container ${stats.name} was using ${text}, request is ${formatQuantity(request)}, ` +
      `has larger consumption of ${resource}. `;
    offenders.push(stats.name);
    amounts.push(text);
  }
  return {
    message,
    annotations: {
      offending_containers: offenders.join(","),
      offending_containers_usage: amounts.join(","),
      starved_resource: resource,
    },
  };
}

/** Why a pod is refused under pressure. */
export function pressureText(conditions: readonly string[]): string {
  return `The node had condition: [${conditions.join(" ")}]. `;
}
