/** The node's capacity and conditions from what was measured. Pure. */

import type { NodeCondition } from "@knarr/api/generated/types/core-v1.ts";
import { cpuMillis, quantityValue } from "@knarr/apimachinery/quantity.ts";
import { binaryQuantity } from "../eviction/messages.ts";
import type { PressureCondition, Signal } from "../eviction/signals.ts";
import { amountOf, isHard, type Threshold } from "../eviction/thresholds.ts";

export interface Measured {
  readonly cpuCount: number;
  readonly memoryBytes: number;
  readonly diskTotalBytes: number;
  readonly hugePages: Readonly<Record<string, number>>;
}

export interface Reserved {
  readonly maxPods: number;
  /** systemReserved and kubeReserved. */
  readonly reserved: readonly Readonly<Record<string, string>>[];
  /** Hard thresholds: what eviction keeps free is not for pods. */
  readonly thresholds: readonly Threshold[];
}

type Quantities = Record<string, string>;

export function nodeCapacity(measured: Measured, maxPods: number): Quantities {
  return {
    cpu: String(measured.cpuCount),
    memory: binaryQuantity(measured.memoryBytes),
    "ephemeral-storage": binaryQuantity(measured.diskTotalBytes),
    pods: String(maxPods),
    ...Object.fromEntries(Object.entries(measured.hugePages).map(([name, bytes]) => [name, binaryQuantity(bytes)])),
  };
}

/** The amount that --system-reserved and --kube-reserved keep of a resource: millicores of cpu, units of all others. */
export function reservedAmount(reserved: Reserved["reserved"], name: string): number {
  return reserved.reduce((sum, map) => {
    const text = map[name];
    if (text === undefined) return sum;
    return sum + (name === "cpu" ? cpuMillis(text) : quantityValue(text));
  }, 0);
}

/** What eviction keeps free of a resource. Source: pkg/kubelet/cm, hardEvictionReservation */
function evictionReserve(thresholds: readonly Threshold[], signal: Signal, capacity: number): number {
  const hard = thresholds.find((t) => t.signal === signal && isHard(t));
  return hard === undefined ? 0 : amountOf(hard.value, capacity);
}

/** Source: kubernetes.io/docs/tasks/administer-cluster/reserve-compute-resources */
export function nodeAllocatable(measured: Measured, { maxPods, reserved, thresholds }: Reserved): Quantities {
  const { cpuCount, memoryBytes, diskTotalBytes } = measured;
  const kept = (name: string) => reservedAmount(reserved, name);
  const millis = Math.max(0, cpuCount * 1000 - kept("cpu"));
  const pages = Object.entries(measured.hugePages);
  // Huge pages are taken out of the memory that is left.
  const huge = pages.reduce((sum, [, bytes]) => sum + bytes, 0);
  const memory = memoryBytes - kept("memory") - evictionReserve(thresholds, "memory.available", memoryBytes) - huge;
  const disk =
    diskTotalBytes - kept("ephemeral-storage") - evictionReserve(thresholds, "nodefs.available", diskTotalBytes);
  return {
    cpu: millis % 1000 === 0 ? String(millis / 1000) : `${millis}m`,
    memory: binaryQuantity(Math.max(0, memory)),
    "ephemeral-storage": binaryQuantity(Math.max(0, disk)),
    pods: String(maxPods),
    ...Object.fromEntries(pages.map(([name, bytes]) => [name, binaryQuantity(Math.max(0, bytes - kept(name)))])),
  };
}

export interface NodeHealth {
  readonly pressures: readonly PressureCondition[];
  /** Why pods can't be run, if so. */
  readonly notReady: readonly string[];
}

interface Wording {
  readonly type: PressureCondition;
  readonly good: readonly [reason: string, message: string];
  readonly bad: readonly [reason: string, message: string];
}

const MEMORY: Wording = {
  type: "MemoryPressure",
  good: ["KubeletHasSufficientMemory", "kubelet has sufficient memory available"],
  bad: ["KubeletHasInsufficientMemory", "kubelet has insufficient memory available"],
};
const DISK: Wording = {
  type: "DiskPressure",
  good: ["KubeletHasNoDiskPressure", "kubelet has no disk pressure"],
  bad: ["KubeletHasDiskPressure", "kubelet has disk pressure"],
};
const PIDS: Wording = {
  type: "PIDPressure",
  good: ["KubeletHasSufficientPID", "kubelet has sufficient PID available"],
  bad: ["KubeletHasInsufficientPID", "kubelet has insufficient PID available"],
};

/** `now` in RFC 3339; transition times are kept from `previous` where nothing changed. */
export function nodeConditions(health: NodeHealth, previous: readonly NodeCondition[], now: string): NodeCondition[] {
  const make = (type: string, status: boolean, [reason, message]: readonly [string, string]): NodeCondition => {
    const before = previous.find((c) => c.type === type);
    const text = status ? "True" : "False";
    const lastTransitionTime = before?.status === text ? (before.lastTransitionTime ?? now) : now;
    return { type, status: text, lastHeartbeatTime: now, lastTransitionTime, reason, message };
  };
  const pressure = (wording: Wording) => {
    const on = pressures.includes(wording.type);
    return make(wording.type, on, on ? wording.bad : wording.good);
  };
  const { notReady, pressures } = health;
  const complaint = notReady.length > 1 ? `[${notReady.join(", ")}]` : (notReady[0] ?? "");
  return [
    pressure(MEMORY),
    pressure(DISK),
    pressure(PIDS),
    notReady.length === 0
      ? make("Ready", true, ["KubeletReady", "kubelet is posting ready status"])
      : make("Ready", false, ["KubeletNotReady", complaint]),
  ];
}
