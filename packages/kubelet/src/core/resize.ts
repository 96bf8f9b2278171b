/**
 * In-place resize, decided: what a pod wants (its spec), what it was granted (allocated) and what the runtime was told
 * (actuated) are three things. Pure.
 *
 *   spec ── fits on the node ──> allocated ── update or restart ──> actuated
 *     └── does not: PodResizePending (Infeasible, Deferred)   └── until then: PodResizeInProgress
 * Source: KEP-1287, KEP-5419 (pod level)
 */
import type { Container, Pod, ResourceRequirements } from "@knarr/api/generated/types/core-v1.ts";
import { compareQuantities } from "@knarr/apimachinery/quantity.ts";
import { isSidecar } from "./restart-policy.ts";

/** The resources granted to a pod: those that can be resized, by container name, and the pod's own. */
export interface Allocation {
  readonly pod?: ResourceRequirements | undefined;
  readonly containers: Readonly<Record<string, ResourceRequirements>>;
}

const RESIZABLE = ["cpu", "memory"] as const;
const KINDS = ["requests", "limits"] as const;

function resizable(pod: Pod): Container[] {
  return [...(pod.spec?.initContainers ?? []).filter(isSidecar), ...(pod.spec?.containers ?? [])];
}

export function allocationOf(pod: Pod): Allocation {
  return {
    ...(pod.spec?.resources === undefined ? {} : { pod: pod.spec.resources }),
    containers: Object.fromEntries(resizable(pod).map((c) => [c.name, c.resources ?? {}])),
  };
}

/** The pod with the resources that it was granted instead of those that it asks for; itself where they are the same. */
export function withAllocation(pod: Pod, allocation: Allocation): Pod {
  const { spec } = pod;
  if (spec === undefined || sameAllocation(allocationOf(pod), allocation)) return pod;
  const grant = (c: Container): Container => {
    const resources = allocation.containers[c.name];
    return resources === undefined ? c : { ...c, resources };
  };
  const initContainers = spec.initContainers?.map((c) => (isSidecar(c) ? grant(c) : c));
  return {
    ...pod,
    spec: {
      ...spec,
      containers: spec.containers.map(grant),
      ...(initContainers === undefined ? {} : { initContainers }),
      ...(allocation.pod === undefined ? {} : { resources: allocation.pod }),
    },
  };
}

export function sameAllocation(a: Allocation, b: Allocation): boolean {
  if (!sameResources(a.pod, b.pod)) return false;
  return Object.entries(a.containers).every(([name, resources]) => sameResources(resources, b.containers[name]));
}

type Changed = (typeof RESIZABLE)[number];

/** Which of CPU and memory differ, by value: "1" and "1000m" are the same. */
export function changedResources(
  a: ResourceRequirements | undefined,
  b: ResourceRequirements | undefined,
): readonly Changed[] {
  return RESIZABLE.filter((name) =>
    KINDS.some((kind) => {
      const [x, y] = [a?.[kind]?.[name], b?.[kind]?.[name]];
      if (x === undefined || y === undefined) return x !== y;
      return compareQuantities(String(x), String(y)) !== 0;
    }),
  );
}

export function sameResources(a: ResourceRequirements | undefined, b: ResourceRequirements | undefined): boolean {
  return changedResources(a, b).length === 0;
}

/** What is to be done to a running container that has `actuated`; undefined for nothing. */
export function judgeResize(
  container: Container,
  actuated: ResourceRequirements | undefined,
): "update" | "restart" | undefined {
  if (actuated === undefined) return undefined;
  const changed = changedResources(container.resources, actuated);
  if (changed.length === 0) return undefined;
  const restarts = changed.some((name) =>
    container.resizePolicy?.some((p) => p.resourceName === name && p.restartPolicy === "RestartContainer"),
  );
  return restarts ? "restart" : "update";
}

function largerOf(a: ResourceRequirements, b: ResourceRequirements): ResourceRequirements {
  const side = (kind: (typeof KINDS)[number]) =>
    Object.fromEntries(
      RESIZABLE.flatMap((name) => {
        const [x, y] = [a[kind]?.[name], b[kind]?.[name]];
        // No limit at all is the largest.
        if (x === undefined || y === undefined) return kind === "limits" ? [] : [[name, x ?? y]];
        return [[name, compareQuantities(String(x), String(y)) >= 0 ? x : y]];
      }).filter(([, value]) => value !== undefined),
    );
  return { requests: side("requests"), limits: side("limits") };
}

/**
 * The pod with the larger of what its containers have and are to have: the pod's cgroup gets that much while containers
 * are being changed, lest a child asks for more than its parent has.
 */
export function duringResize(pod: Pod, actuated: (name: string) => ResourceRequirements | undefined): Pod {
  const { spec } = pod;
  if (spec === undefined) return pod;
  const widen = (c: Container): Container => {
    const has = actuated(c.name);
    return has === undefined ? c : { ...c, resources: largerOf(c.resources ?? {}, has) };
  };
  const initContainers = spec.initContainers?.map(widen);
  const widened = {
    containers: spec.containers.map(widen),
    ...(initContainers === undefined ? {} : { initContainers }),
  };
  return { ...pod, spec: { ...spec, ...widened } };
}

export interface ResizeRefusal {
  readonly reason: "Deferred" | "Infeasible";
  readonly message: string;
}

export interface ResizeState {
  /** Why the spec's resources were not granted, and since when (epoch ms). */
  readonly pending?: (ResizeRefusal & { readonly since: number }) | undefined;
  /** Granted and not in force yet; `error` tells what went wrong. */
  readonly inProgress?: { readonly error?: string | undefined } | undefined;
}

/** The message of a resize event: a sentence and the resources as JSON. Source: pkg/kubelet/events */
export function resizeMessage(what: string, pod: Pod, error?: string): string {
  const list = (containers: readonly Container[] | undefined) =>
    (containers ?? []).map((c) => ({ name: c.name, resources: c.resources ?? {} }));
  const inits = list(pod.spec?.initContainers);
  const summary = {
    ...(pod.spec?.resources === undefined ? {} : { resources: pod.spec.resources }),
    ...(inits.length === 0 ? {} : { initContainers: inits }),
    containers: list(pod.spec?.containers),
    generation: pod.metadata.generation ?? 0,
    ...(error === undefined || error === "" ? {} : { error }),
  };
  return `${what}: ${JSON.stringify(summary)}`;
}
