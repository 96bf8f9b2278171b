/** What may change in a pod that exists. Source: core/validation ValidatePodUpdate and its kin */
import { stringifyJson } from "@knarr/apimachinery/json.ts";
import { isQualifiedName } from "@knarr/apimachinery/name-validation.ts";
import { deepEqual } from "../../deep-equal.ts";
import type { Container, ContainerStatus, Pod, PodSpec, Toleration } from "../../generated/types/core-v1.ts";
import type { FieldErrors } from "../../validation/field-errors.ts";
import { ipRule, isIp } from "../../validation/ip.ts";
import { rangeError, subdomainName } from "../../validation/names.ts";
import { validatePodSpec } from "./pod-spec/validate.ts";

const updatable = [
  "`spec.containers[*].image`",
  "`spec.initContainers[*].image`",
  "`spec.activeDeadlineSeconds`",
  "`spec.tolerations` (only additions to existing tolerations)",
  "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
].join(",");

const maxInt32 = 2147483647;

/** A toleration without its seconds, which may change. */
function withoutSeconds(toleration: Toleration): Toleration {
  const { tolerationSeconds: _, ...rest } = toleration;
  return rest;
}

function validateTolerationsAdded(errors: FieldErrors, spec: PodSpec, old: PodSpec): void {
  for (const before of old.tolerations ?? []) {
    const kept = spec.tolerations?.some((now) => deepEqual(withoutSeconds(now), withoutSeconds(before)));
    if (kept === true) continue;
    errors.forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds");
    return;
  }
}

function validateDeadline(errors: FieldErrors, spec: PodSpec, old: PodSpec): void {
  const path = "spec.activeDeadlineSeconds";
  const now = spec.activeDeadlineSeconds;
  const before = old.activeDeadlineSeconds;
  if (now !== undefined) {
    if (now < 0 || now > maxInt32) errors.invalid(path, now, rangeError(0, maxInt32));
    if (before !== undefined && before < now) errors.invalid(path, now, "must be less than or equal to previous value");
  } else if (before !== undefined) errors.invalid(path, null, "must not update from a positive integer to nil value");
}

function validateGateRemoval(errors: FieldErrors, spec: PodSpec, old: PodSpec): void {
  const before = new Set(old.schedulingGates?.map((gate) => gate.name));
  for (const [i, gate] of (spec.schedulingGates ?? []).entries()) {
    if (before.has(gate.name)) continue;
    const detail = `only deletion is allowed, but found new scheduling gate '${gate.name}'`;
    errors.forbidden(`spec.schedulingGates[${i}].name`, detail);
  }
}

function withOldImages(containers: Container[] | undefined, old: Container[] | undefined): Container[] | undefined {
  return containers?.map((container, i) => ({ ...container, image: old?.[i]?.image }));
}

/** The new spec with everything that may change put back to what it was. */
function withAllowedChangesUndone(spec: PodSpec, old: PodSpec): PodSpec {
  const undone: PodSpec = {
    ...spec,
    containers: withOldImages(spec.containers, old.containers) ?? [],
    initContainers: withOldImages(spec.initContainers, old.initContainers),
    activeDeadlineSeconds: old.activeDeadlineSeconds,
    tolerations: old.tolerations,
    schedulingGates: old.schedulingGates,
  };
  if ((old.terminationGracePeriodSeconds ?? 0) < 0 && spec.terminationGracePeriodSeconds === 1) {
    undone.terminationGracePeriodSeconds = old.terminationGracePeriodSeconds;
  }
  // While gates hold a pod back, its node selection may still be narrowed. Source: KEP-3838
  if ((old.schedulingGates?.length ?? 0) > 0) {
    const kept = Object.entries(old.nodeSelector ?? {}).every(([key, value]) => spec.nodeSelector?.[key] === value);
    if (kept) undone.nodeSelector = old.nodeSelector;
    if (narrowsAffinity(spec, old)) undone.affinity = old.affinity;
  }
  return undone;
}

/** Requirements may be added to node affinity terms, none taken away. */
function narrowsAffinity(spec: PodSpec, old: PodSpec): boolean {
  const rest = (of: PodSpec) => ({ ...of.affinity, nodeAffinity: undefined });
  if (!deepEqual(rest(spec), rest(old))) return false;
  const terms = (of: PodSpec) =>
    of.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
  const before = terms(old);
  const now = terms(spec);
  if (before === undefined) return true;
  if (now?.length !== before.length) return false;
  return before.every((term, i) =>
    (["matchExpressions", "matchFields"] as const).every((field) =>
      (term[field] ?? []).every((requirement) => now[i]?.[field]?.some((other) => deepEqual(other, requirement))),
    ),
  );
}

/** Top-level fields of the spec that differ, for people to read. */
/** Large integers are bigints, which JSON.stringify() refuses. */
const textOf = (value: unknown) => (value === undefined ? "nil" : stringifyJson(value));

function differences(spec: PodSpec, old: PodSpec): string {
  const left = old as unknown as Record<string, unknown>;
  const right = spec as unknown as Record<string, unknown>;
  const keys = [...new Set([...Object.keys(left), ...Object.keys(right)])].sort();
  const changed = keys.filter((key) => !deepEqual(left[key], right[key]));
  return changed.map((key) => `-\t${key}: ${textOf(left[key])}\n+\t${key}: ${textOf(right[key])}\n`).join("");
}

/**
 * Differs from upstream: after the sentence Go prints a cmp.Diff of its internal structs; we list the fields that differ as JSON, because
 * no client parses the diff.
 */
export function validatePodUpdate(errors: FieldErrors, pod: Pod, previous: Pod): void {
  const spec = pod.spec;
  const old = previous.spec;
  if (spec === undefined || old === undefined) return;
  for (const field of ["containers", "initContainers"] as const) {
    if ((spec[field]?.length ?? 0) !== (old[field]?.length ?? 0)) {
      errors.forbidden(
        `spec.${field}`,
        `pod updates may not add or remove ${field === "containers" ? "containers" : "initContainers"}`,
      );
      return;
    }
  }
  validateDeadline(errors, spec, old);
  validateTolerationsAdded(errors, spec, old);
  validateGateRemoval(errors, spec, old);
  const undone = withAllowedChangesUndone(spec, old);
  if (deepEqual(undone, old)) return;
  errors.forbidden("spec", `pod updates may not change fields other than ${updatable}\n${differences(undone, old)}`);
}

/** Containers that will not be started again stay terminated. */
function validateTransitions(
  errors: FieldErrors,
  path: string,
  now: readonly ContainerStatus[] | undefined,
  before: readonly ContainerStatus[] | undefined,
  restartPolicy: string | undefined,
): void {
  if (restartPolicy === "Always") return;
  for (const old of before ?? []) {
    const exit = old.state?.terminated?.exitCode;
    if (exit === undefined || (restartPolicy === "OnFailure" && exit !== 0)) continue;
    const i = now?.findIndex((status) => status.name === old.name) ?? -1;
    if (i >= 0 && now?.[i]?.state?.terminated === undefined) {
      errors.forbidden(`${path}[${i}].state`, "may not be transitioned to non-terminated state");
    }
  }
}

function validateIps(errors: FieldErrors, pod: Pod): void {
  for (const field of ["podIPs", "hostIPs"] as const) {
    for (const [i, entry] of (pod.status?.[field] ?? []).entries()) {
      if (!isIp(entry.ip)) errors.invalid(`status.${field}[${i}]`, entry.ip, ipRule);
    }
  }
}

export function validatePodStatusUpdate(errors: FieldErrors, pod: Pod, old: Pod): void {
  const { status } = pod;
  const nominated = status?.nominatedNodeName ?? "";
  if (nominated !== "") errors.invalidAll("status.nominatedNodeName", nominated, subdomainName(nominated, false));
  const frozen = old.status?.qosClass;
  if (frozen !== undefined && status?.qosClass !== frozen) {
    errors.invalid("status.qosClass", status?.qosClass ?? "", "field is immutable");
  }
  for (const [i, condition] of (status?.conditions ?? []).entries()) {
    errors.invalidAll(`status.conditions[${i}].type`, condition.type, isQualifiedName(condition.type));
  }
  const policy = old.spec?.restartPolicy;
  const rules = (old.spec?.containers ?? []).some((c) => c.restartPolicy !== undefined);
  if (!rules) {
    validateTransitions(
      errors,
      "status.containerStatuses",
      status?.containerStatuses,
      old.status?.containerStatuses,
      policy,
    );
  }
  validateIps(errors, pod);
}

/** They may be added, never changed or taken away. */
export function validateEphemeralContainersUpdate(errors: FieldErrors, pod: Pod, old: Pod): void {
  if (pod.spec === undefined) return;
  validatePodSpec(errors, "spec", pod.spec);
  for (const before of old.spec?.ephemeralContainers ?? []) {
    const now = pod.spec.ephemeralContainers?.find((c) => c.name === before.name);
    if (now === undefined) {
      errors.forbidden(
        "spec.ephemeralContainers",
        `existing ephemeral containers ${JSON.stringify(before.name)} may not be removed\n`,
      );
    } else if (!deepEqual(now, before)) {
      errors.forbidden(
        "spec.ephemeralContainers",
        `existing ephemeral containers ${JSON.stringify(before.name)} may not be changed\n`,
      );
    }
  }
}
