/**
 * What the scheduler must know about a pod again and again, worked out once: sums, ports, affinity terms.
 *
 * Pure and immutable. One PodInfo per pod object: `podInfoOf` keeps it as long as the object lives.
 */
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { keyOf } from "@knarr/apimachinery/object.ts";
import { keyString } from "@knarr/apimachinery/resource.ts";
import { type HostPort, hostPortsOf } from "@knarr/scheduling/host-ports.ts";
import { podNonZeroRequests, podRequests } from "@knarr/scheduling/pod-requests.ts";
import type { ResourceAmounts } from "@knarr/scheduling/resource-list.ts";
import { type AffinityTerm, podAffinityTerms, type WeightedTerm } from "./affinity-term.ts";

/** A pod of the same name may be another pod: the uid is its identity. */
export function podId(pod: Pod): string {
  return pod.metadata.uid ?? keyString(keyOf(pod));
}

/** Pods that have ended hold nothing on their node. */
export function isTerminal(pod: Pod): boolean {
  return pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
}

export function priorityOf(pod: Pod): number {
  return pod.spec?.priority ?? 0;
}

/** The name by which profiles are chosen. */
export function schedulerNameOf(pod: Pod): string {
  const name = pod.spec?.schedulerName ?? "";
  return name === "" ? "default-scheduler" : name;
}

const NO_SCALARS: ReadonlyMap<string, number> = new Map();

/** Requests with the frequent resources as plain numbers; the rest by name. */
export interface Requests {
  readonly cpuMillis: number;
  readonly memoryBytes: number;
  readonly ephemeralBytes: number;
  readonly scalars: ReadonlyMap<string, number>;
}

/** Pods of one template ask for the same: one object for all of them. Emptied when there are too many to be templates. */
const interned = new Map<string, Requests>();
const MAX_INTERNED = 1000;

function intern(requests: Requests): Requests {
  const { cpuMillis, memoryBytes, ephemeralBytes, scalars } = requests;
  const key = `${cpuMillis} ${memoryBytes} ${ephemeralBytes} ${scalars.size === 0 ? "" : JSON.stringify([...scalars])}`;
  const known = interned.get(key);
  if (known !== undefined) return known;
  if (interned.size >= MAX_INTERNED) interned.clear();
  interned.set(key, requests);
  return requests;
}

export function requestsFrom(amounts: ResourceAmounts): Requests {
  let scalars: Map<string, number> | undefined;
  for (const [name, amount] of amounts) {
    if (name === "cpu" || name === "memory" || name === "ephemeral-storage" || name === "pods") continue;
    scalars ??= new Map();
    scalars.set(name, amount);
  }
  return {
    cpuMillis: amounts.get("cpu") ?? 0,
    memoryBytes: amounts.get("memory") ?? 0,
    ephemeralBytes: amounts.get("ephemeral-storage") ?? 0,
    scalars: scalars ?? NO_SCALARS,
  };
}

const NO_CLAIMS: readonly string[] = [];

export class PodInfo {
  readonly pod: Pod;
  readonly id: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly priority: number;
  readonly requests: Requests;
  readonly nonZeroCpuMillis: number;
  readonly nonZeroMemoryBytes: number;
  readonly hostPorts: readonly HostPort[];
  readonly requiredAffinity: readonly AffinityTerm[];
  readonly requiredAntiAffinity: readonly AffinityTerm[];
  readonly preferredAffinity: readonly WeightedTerm[];
  readonly preferredAntiAffinity: readonly WeightedTerm[];
  /** Names of the claims that the pod uses, those of its ephemeral volumes included. */
  readonly claims: readonly string[];
  readonly terminating: boolean;
  #groupKey: string | undefined;

  constructor(pod: Pod) {
    this.pod = pod;
    this.id = podId(pod);
    this.namespace = pod.metadata.namespace ?? "";
    this.labels = pod.metadata.labels ?? {};
    this.priority = priorityOf(pod);
    this.requests = intern(requestsFrom(podRequests(pod)));
    const nonZero = podNonZeroRequests(pod);
    this.nonZeroCpuMillis = nonZero.cpuMillis;
    this.nonZeroMemoryBytes = nonZero.memoryBytes;
    this.hostPorts = hostPortsOf(pod);
    const terms = podAffinityTerms(pod);
    this.requiredAffinity = terms.requiredAffinity;
    this.requiredAntiAffinity = terms.requiredAntiAffinity;
    this.preferredAffinity = terms.preferredAffinity;
    this.preferredAntiAffinity = terms.preferredAntiAffinity;
    this.claims = claimNames(pod);
    this.terminating = pod.metadata.deletionTimestamp !== undefined;
  }

  get hasAffinity(): boolean {
    return (
      this.requiredAffinity.length > 0 ||
      this.requiredAntiAffinity.length > 0 ||
      this.preferredAffinity.length > 0 ||
      this.preferredAntiAffinity.length > 0
    );
  }

  /** Equal for pods that every label selector judges alike. */
  get groupKey(): string {
    this.#groupKey ??= JSON.stringify([this.namespace, this.terminating, Object.entries(this.labels).sort()]);
    return this.#groupKey;
  }
}

const known = new WeakMap<Pod, PodInfo>();

export function podInfoOf(pod: Pod): PodInfo {
  let info = known.get(pod);
  if (info === undefined) {
    info = new PodInfo(pod);
    known.set(pod, info);
  }
  return info;
}

/** Name of the claim behind a volume; undefined when the volume is none. `ephemeral` claims are named after pod and volume. */
export function claimNameOf(
  pod: Pod,
  volume: NonNullable<NonNullable<Pod["spec"]>["volumes"]>[number],
): string | undefined {
  if (volume.persistentVolumeClaim !== undefined) return volume.persistentVolumeClaim.claimName;
  return volume.ephemeral === undefined ? undefined : `${pod.metadata.name ?? ""}-${volume.name}`;
}

function claimNames(pod: Pod): readonly string[] {
  let names: string[] | undefined;
  for (const volume of pod.spec?.volumes ?? []) {
    const name = claimNameOf(pod, volume);
    if (name === undefined) continue;
    names ??= [];
    names.push(name);
  }
  return names ?? NO_CLAIMS;
}
