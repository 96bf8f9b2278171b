/**
 * The order in which a namespace's content goes, and the conditions that say what remains. Pure.
 *
 *   Terminating --> delete pods --(none left)--> delete the rest --(nothing left)--> remove the finalizer `kubernetes`
 *
 * Source: KEP-5080 ordered namespace deletion; kubernetes/pkg/controller/namespace/deletion
 */
import type { NamespaceCondition } from "@knarr/api/generated/types/core-v1.ts";
import { rfc3339Seconds } from "@knarr/apimachinery/time.ts";

export const NAMESPACE_FINALIZER = "kubernetes";

/** What is left of one resource after deletion was asked for. */
export interface Remaining {
  /** "pods.", "deployments.apps": upstream's group resource, with its trailing dot for the core group. */
  readonly resource: string;
  readonly count: number;
  /** Finalizers on what is left, with how many objects carry each. */
  readonly finalizers: Readonly<Record<string, number>>;
  /** Seconds until the last of it should be gone by itself (pods being terminated). */
  readonly waitSeconds: number;
}

export interface DeletionOutcome {
  readonly discoveryFailures: readonly string[];
  readonly contentFailures: readonly string[];
  readonly remaining: readonly Remaining[];
}

const DEFINITIONS = {
  NamespaceDeletionDiscoveryFailure: ["ResourcesDiscovered", "All resources successfully discovered"],
  NamespaceDeletionGroupVersionParsingFailure: ["ParsedGroupVersions", "All legacy kube types successfully parsed"],
  NamespaceDeletionContentFailure: [
    "ContentDeleted",
    "All content successfully deleted, may be waiting on finalization",
  ],
  NamespaceContentRemaining: ["ContentRemoved", "All content successfully removed"],
  NamespaceFinalizersRemaining: ["ContentHasNoFinalizers", "All content-preserving finalizers finished"],
} as const;
type ConditionType = keyof typeof DEFINITIONS;

/** The namespace's conditions after one round of deleting. */
export function namespaceConditions(
  current: readonly NamespaceCondition[],
  outcome: DeletionOutcome,
  nowMs: number,
): NamespaceCondition[] {
  const found: Partial<Record<ConditionType, readonly [reason: string, message: string]>> = {
    ...bad("NamespaceDeletionDiscoveryFailure", "DiscoveryFailed", discoveryMessage(outcome)),
    ...bad("NamespaceDeletionContentFailure", "ContentDeletionFailed", contentMessage(outcome)),
    ...bad("NamespaceContentRemaining", "SomeResourcesRemain", remainingMessage(outcome)),
    ...bad("NamespaceFinalizersRemaining", "SomeFinalizersRemain", finalizersMessage(outcome)),
  };
  const next = new Map(current.map((condition) => [condition.type, condition]));
  for (const type of Object.keys(DEFINITIONS) as ConditionType[]) {
    const [reason, message] = found[type] ?? DEFINITIONS[type];
    const status = found[type] === undefined ? "False" : "True";
    const old = next.get(type);
    if (old?.status === status && old.message === message && old.reason === reason) continue;
    const lastTransitionTime = old?.status === status ? old.lastTransitionTime : rfc3339Seconds(nowMs);
    next.set(type, { type, status, lastTransitionTime, reason, message });
  }
  return [...next.values()];
}

function bad(
  type: ConditionType,
  reason: string,
  message: string | undefined,
): Partial<Record<ConditionType, [string, string]>> {
  return message === undefined ? {} : { [type]: [reason, message] };
}

function discoveryMessage({ discoveryFailures }: DeletionOutcome): string | undefined {
  if (discoveryFailures.length === 0) return undefined;
  return `Discovery failed for some groups, ${discoveryFailures.length} failing: ${discoveryFailures.join(", ")}`;
}

function contentMessage({ contentFailures }: DeletionOutcome): string | undefined {
  if (contentFailures.length === 0) return undefined;
  return `Failed to delete all resource types, ${contentFailures.length} remaining: ${contentFailures.join(", ")}`;
}

function remainingMessage({ remaining }: DeletionOutcome): string | undefined {
  const parts = remaining
    .filter(({ count }) => count > 0)
    .map(({ resource, count }) => `${resource} has ${count} resource instances`);
  return parts.length === 0 ? undefined : `Some resources are remaining: ${parts.sort().join(", ")}`;
}

function finalizersMessage({ remaining }: DeletionOutcome): string | undefined {
  const counts = new Map<string, number>();
  for (const { finalizers } of remaining) {
    for (const [name, count] of Object.entries(finalizers)) counts.set(name, (counts.get(name) ?? 0) + count);
  }
  const parts = [...counts].map(([name, count]) => `${name} in ${count} resource instances`);
  return parts.length === 0
    ? undefined
    : `Some content in the namespace has finalizers remaining: ${parts.sort().join(", ")}`;
}

/** Upstream's estimate for whoever has to take a finalizer off. Source: namespaced_resources_deleter.go */
const FINALIZER_WAIT_SECONDS = 15;

/**
 * How long to wait before the next round: half the longest wait, and a second; at least a second.
 * Differs from upstream: what only waits for finalizers is looked at every second at first, because most are taken off
 * at once; a namespace that is stuck comes to upstream's pace, for each round reads every resource there is.
 */
export function nextRoundMs(remaining: readonly Remaining[], deletedForMs: number): number {
  const isHeld = remaining.some(({ finalizers }) => Object.keys(finalizers).length > 0);
  const patience = isHeld ? Math.min(FINALIZER_WAIT_SECONDS, Math.floor(deletedForMs / 4000)) : 0;
  const longest = Math.max(patience, ...remaining.map(({ waitSeconds }) => waitSeconds));
  return (Math.floor(longest / 2) + 1) * 1000;
}
