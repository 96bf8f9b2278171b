/** Which pods a node under pressure still takes. Pure. Source: pkg/kubelet/eviction/eviction_manager.go (Admit) */
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { toleratesTaint } from "@knarr/scheduling/taints.ts";
import { isCriticalPod } from "../core/critical-pod.ts";
import { qosClass } from "../core/qos.ts";
import { EVICTED, pressureText } from "./messages.ts";
import type { PressureCondition } from "./signals.ts";

const MEMORY_TAINT = { key: "node.kubernetes.io/memory-pressure", effect: "NoSchedule" };

export interface PressureRefusal {
  readonly reason: string;
  readonly message: string;
}

export function refuseUnderPressure(pod: Pod, conditions: readonly PressureCondition[]): PressureRefusal | undefined {
  if (conditions.length === 0 || isCriticalPod(pod)) return undefined;
  if (conditions.every((c) => c === "MemoryPressure")) {
    if (qosClass(pod) !== "BestEffort") return undefined;
    if ((pod.spec?.tolerations ?? []).some((t) => toleratesTaint(t, MEMORY_TAINT))) return undefined;
  }
  return { reason: EVICTED, message: pressureText(conditions) };
}
