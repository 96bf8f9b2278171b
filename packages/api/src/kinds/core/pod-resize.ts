/** What /resize may change: cpu and memory of containers, within the pod's QoS class. Source: core/validation ValidatePodResize; KEP-1287 */
import { deepEqual } from "../../deep-equal.ts";
import type { Container, Pod, PodSpec } from "../../generated/types/core-v1.ts";
import type { FieldErrors } from "../../validation/field-errors.ts";
import { podQosClass } from "./pod-qos.ts";
import { validatePodSpec } from "./pod-spec/validate.ts";
import type { ResourceList } from "./resource-list.ts";

const MIRROR_ANNOTATION = "kubernetes.io/config.mirror";
const RESIZABLE = ["cpu", "memory"];

export function validatePodResize(errors: FieldErrors, pod: Pod, previous: Pod): void {
  const { spec } = pod;
  const old = previous.spec;
  if (spec === undefined || old === undefined) return;
  validatePodSpec(errors, "spec", spec);
  if (previous.metadata?.annotations?.[MIRROR_ANNOTATION] !== undefined) {
    errors.forbidden("", "static pods cannot be resized");
    return;
  }
  if (old.os?.name === "windows") {
    errors.forbidden("", "windows pods cannot be resized");
    return;
  }
  const qosClass = previous.status?.qosClass ?? podQosClass(old);
  if (podQosClass(spec) !== qosClass) {
    errors.invalid("spec", qosClass, "Pod QOS Class may not change as a result of resizing");
  }
  if (!mayRunOnResizingNode(previous)) errors.forbidden("spec", "Pod running on node without support for resize");
  if (!isSameOrder(errors, spec, old)) return;
  const isUnchanged =
    deepEqual({ ...spec, containers: [], initContainers: [] }, { ...old, containers: [], initContainers: [] }) &&
    spec.containers.every((container, i) => isResized(container, old.containers[i])) &&
    (spec.initContainers ?? []).every((container, i) => isResized(container, old.initContainers?.[i]));
  if (!isUnchanged) errors.forbidden("spec", "only cpu and memory resources are mutable");
  for (const [i, container] of spec.containers.entries()) {
    validateRemoved(errors, `spec.containers[${i}].resources`, container, old.containers[i]);
  }
  for (const [i, container] of (spec.initContainers ?? []).entries()) {
    const before = old.initContainers?.[i];
    if (container.restartPolicy === "Always") {
      validateRemoved(errors, `spec.initContainers[${i}].resources`, container, before);
    } else if (!deepEqual(container.resources, before?.resources)) {
      errors.forbidden("spec", "resources for non-sidecar init containers are immutable");
    }
  }
}

/** A node that knows of resizing reports the resources of what runs; when nothing runs, nobody can tell. */
function mayRunOnResizingNode(pod: Pod): boolean {
  const running = pod.status?.containerStatuses?.find((status) => status.state?.running !== undefined);
  return running === undefined || running.resources !== undefined;
}

function isSameOrder(errors: FieldErrors, spec: PodSpec, old: PodSpec): boolean {
  const before = errors.length;
  for (const field of ["containers", "initContainers"] as const) {
    const now = spec[field] ?? [];
    const was = old[field] ?? [];
    if (now.length !== was.length) errors.forbidden("spec", `${field} may not be added or removed on resize`);
    else if (now.some((container, i) => container.name !== was[i]?.name)) {
      errors.forbidden(`spec.${field}`, `${field} may not be renamed or reordered on resize`);
    }
  }
  return errors.length === before;
}

/** Whether nothing but cpu, memory and the way they are resized differs. */
function isResized(container: Container, old: Container | undefined): boolean {
  return deepEqual(withoutResizable(container), old === undefined ? undefined : withoutResizable(old));
}

function withoutResizable({ resizePolicy: _policy, ...container }: Container): Container {
  const { requests, limits, ...rest } = container.resources ?? {};
  const others = (list: ResourceList | undefined) =>
    Object.fromEntries(Object.entries(list ?? {}).filter(([name]) => !RESIZABLE.includes(name)));
  return { ...container, resources: { ...rest, requests: others(requests), limits: others(limits) } };
}

function validateRemoved(errors: FieldErrors, path: string, container: Container, old: Container | undefined): void {
  for (const list of ["requests", "limits"] as const) {
    const now = container.resources?.[list] ?? {};
    const removed = Object.keys(old?.resources?.[list] ?? {}).some((name) => now[name] === undefined);
    if (removed) errors.forbidden(`${path}.${list}`, `resource ${list} cannot be removed`);
  }
}
