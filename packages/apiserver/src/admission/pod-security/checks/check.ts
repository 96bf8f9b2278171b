/**
 * What a check of the Pod Security Standards is, and the words that its complaints are made of.
 * Source: k8s.io/pod-security-admission/policy/{checks,helpers,visitor}.go
 */
import type { Container, Pod, PodSpec } from "@knarr/api/generated/types/core-v1.ts";

/** A pod or a template: what checks look at. */
export type PodLike = Pick<Pod, "metadata"> & { readonly spec: PodSpec };

export interface Violation {
  readonly reason: string;
  readonly detail: string;
}

export interface Check {
  readonly id: string;
  readonly level: "baseline" | "restricted";
  /** Baseline checks that this one includes. */
  readonly overrides?: readonly string[];
  /** By the first minor version in which it is so, ascending. Undefined: nothing to complain about. */
  readonly versions: readonly { readonly since: number; readonly find: (pod: PodLike) => Violation | undefined }[];
}

export type AnyContainer = Pick<
  Container,
  "name" | "securityContext" | "ports" | "livenessProbe" | "readinessProbe" | "startupProbe" | "lifecycle"
>;

/** Init containers, containers, ephemeral ones, in upstream's order. */
export function containersOf({ spec }: PodLike): readonly AnyContainer[] {
  return [...(spec.initContainers ?? []), ...spec.containers, ...(spec.ephemeralContainers ?? [])];
}

export function isWindows({ spec }: PodLike): boolean {
  return spec.os?.name === "windows";
}

/** Pods in a user namespace of their own: root in there is nobody on the node. Source: KEP-127 */
export function hasOwnUsers({ spec }: PodLike): boolean {
  return spec.hostUsers === false;
}

export const quoted = (values: Iterable<string>) => [...values].map((value) => JSON.stringify(value)).join(", ");
export const sorted = (values: Iterable<string>) => [...new Set(values)].sort();
export const plural = (count: number, one: string, many = `${one}s`) => (count === 1 ? one : many);

/** `container "a"`, `containers "a", "b"`. */
export function named(what: string, names: readonly string[]): string {
  return `${plural(names.length, what)} ${quoted(names)}`;
}

/** `pod and container "a"`: who sets something that they must not. */
export function setters(pod: boolean, containers: readonly string[], more: readonly string[] = []): string {
  const parts = [...(pod ? ["pod"] : []), ...(containers.length > 0 ? [named("container", containers)] : []), ...more];
  return parts.join(" and ");
}

/** Names of the containers of which `is` holds. */
export function namesWhere(pod: PodLike, is: (container: AnyContainer) => boolean): string[] {
  return containersOf(pod)
    .filter(is)
    .map((container) => container.name);
}
