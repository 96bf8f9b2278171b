/** The node's capacity and conditions from what was measured. Pure. */

import type { NodeCondition } from "@knarr/api/generated/types/core-v1.ts";
import { cpuMillis, quantityValue } from "@knarr/apimachinery/quantity.ts";

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
}

/** Source: upstream's default hard eviction thresholds, kept from pods. */
const EVICTION_MEMORY_BYTES = 100 * 2 ** 20;
const EVICTION_DISK_SHARE = 0.1;
const EVICTION_INODES_SHARE = 0.05;

type Quantities = Record<string, string>;

export function nodeCapacity(measured: Measured, maxPods: number): Quantities {
  return {
    cpu: String(measured.cpuCount),
    memory: `${Math.floor(measured.memoryBytes / 1024)}Ki`,
    "ephemeral-storage": `${Math.floor(measured.diskTotalBytes / 1024)}Ki`,
    pods: String(maxPods),
    ...Object.fromEntries(Object.entries(measured.hugePages).map(([name, bytes]) => [name, hugePages(bytes)])),
  };
}

function hugePages(bytes: number): string {
  return bytes === 0 ? "0" : `${bytes / 2 ** 20}Mi`;
}

export function nodeAllocatable(measured: Measured, { maxPods, reserved }: Reserved): Quantities {
  const kept = (name: string) =>
    reserved.reduce((sum, map) => {
      const text = map[name];
      if (text === undefined) return sum;
      return sum + (name === "cpu" ? cpuMillis(text) : quantityValue(text));
    }, 0);
  const millis = Math.max(0, measured.cpuCount * 1000 - kept("cpu"));
  const memory = Math.max(0, measured.memoryBytes - kept("memory") - EVICTION_MEMORY_BYTES);
  const disk = Math.max(0, measured.diskTotalBytes * (1 - EVICTION_DISK_SHARE) - kept("ephemeral-storage"));
  return {
    ...nodeCapacity(measured, maxPods),
    cpu: millis % 1000 === 0 ? String(millis / 1000) : `${millis}m`,
    memory: `${Math.floor(memory / 1024)}Ki`,
    "ephemeral-storage": String(Math.floor(disk)),
  };
}

export interface NodeSignals {
  readonly memoryAvailableBytes: number;
  readonly diskAvailableBytes: number;
  readonly diskTotalBytes: number;
  readonly inodesFree: number;
  readonly inodesTotal: number;
  readonly pidsUsed: number;
  readonly pidsMax: number;
  /** Why pods can't be run, if so. */
  readonly notReady: readonly string[];
}

interface Wording {
  readonly type: string;
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
export function nodeConditions(signals: NodeSignals, previous: readonly NodeCondition[], now: string): NodeCondition[] {
  const make = (type: string, status: boolean, [reason, message]: readonly [string, string]): NodeCondition => {
    const before = previous.find((c) => c.type === type);
    const text = status ? "True" : "False";
    const lastTransitionTime = before?.status === text ? (before.lastTransitionTime ?? now) : now;
    return { type, status: text, lastHeartbeatTime: now, lastTransitionTime, reason, message };
  };
  const pressure = (wording: Wording, on: boolean) => make(wording.type, on, on ? wording.bad : wording.good);
  const inodesShort = signals.inodesTotal > 0 && signals.inodesFree < signals.inodesTotal * EVICTION_INODES_SHARE;
  const diskShort = signals.diskAvailableBytes < signals.diskTotalBytes * EVICTION_DISK_SHARE;
  const { notReady } = signals;
  const complaint = notReady.length > 1 ? `[${notReady.join(", ")}]` : (notReady[0] ?? "");
  return [
    pressure(MEMORY, signals.memoryAvailableBytes < EVICTION_MEMORY_BYTES),
    pressure(DISK, diskShort || inodesShort),
    pressure(PIDS, signals.pidsUsed > signals.pidsMax * 0.95),
    notReady.length === 0
      ? make("Ready", true, ["KubeletReady", "kubelet is posting ready status"])
      : make("Ready", false, ["KubeletNotReady", complaint]),
  ];
}
