import { deepEqual } from "../../deep-equal.ts";
import { bumpGeneration, defineKind, restoreMetadata, statusOf } from "../../define-kind.ts";
import type { Verb } from "../../descriptor.ts";
import { core } from "../../generated/resources.ts";
import type { Container, Pod } from "../../generated/types/core-v1.ts";
import { subdomainName } from "../../validation/names.ts";
import { podColumns, podRowConditions } from "./pod-columns.ts";
import { podQosClass } from "./pod-qos.ts";
import { validatePodResize } from "./pod-resize.ts";
import { defaultPodSpec } from "./pod-spec/defaults.ts";
import { defaultPodOnly } from "./pod-spec/pod-defaults.ts";
import { validatePod } from "./pod-spec/validate.ts";
import { validateEphemeralContainersUpdate, validatePodStatusUpdate, validatePodUpdate } from "./pod-update.ts";
import { podWarnings } from "./pod-warnings.ts";

const changes: readonly Verb[] = ["get", "patch", "update"];
const streams: readonly Verb[] = ["create", "get"];
const proxying: readonly Verb[] = ["create", "delete", "get", "patch", "update"];

function prepareStatus(pod: Pod, old: Pod): void {
  for (const field of ["deletionTimestamp", "ownerReferences"] as const) {
    if (old.metadata[field] === undefined) delete pod.metadata[field];
    else Object.assign(pod.metadata, { [field]: old.metadata[field] });
  }
  if (pod.status === undefined) return;
  pod.status.qosClass ||= old.status?.qosClass;
  const observed = old.status?.observedGeneration;
  if (!pod.status.observedGeneration && observed !== undefined) pod.status.observedGeneration = observed;
  const generations = new Map(old.status?.conditions?.map((c) => [c.type, c.observedGeneration]));
  for (const condition of pod.status.conditions ?? []) {
    const generation = generations.get(condition.type);
    if (!condition.observedGeneration && generation !== undefined) condition.observedGeneration = generation;
  }
}

/** Takes only resources and resize policy from the new containers; lists that don't match are left for validation to refuse. */
function resized(containers: Container[] | undefined, old: Container[] | undefined): Container[] | undefined {
  if (containers?.some((c, i) => c.name !== old?.[i]?.name)) return containers;
  return old?.map((before, i) => {
    const after = containers?.[i];
    const { resizePolicy: _, ...rest } = before;
    const resizePolicy = after?.resizePolicy;
    return { ...rest, resources: after?.resources, ...(resizePolicy === undefined ? {} : { resizePolicy }) };
  });
}

function prepareResize(pod: Pod, old: Pod): void {
  const { spec } = pod;
  if (spec === undefined || old.spec === undefined) return;
  const sameLength =
    spec.containers.length === old.spec.containers.length &&
    (spec.initContainers?.length ?? 0) === (old.spec.initContainers?.length ?? 0);
  if (!sameLength) return;
  const containers = resized(spec.containers, old.spec.containers) ?? [];
  const initContainers = resized(spec.initContainers, old.spec.initContainers);
  pod.spec = { ...old.spec, containers, ...(initContainers === undefined ? {} : { initContainers }) };
  pod.status = old.status;
  restoreMetadata(pod, old);
}

function prepareEphemeralContainers(pod: Pod, old: Pod): void {
  const added = pod.spec?.ephemeralContainers;
  if (old.spec !== undefined)
    pod.spec = { ...old.spec, ...(added === undefined ? {} : { ephemeralContainers: added }) };
  pod.status = old.status;
  restoreMetadata(pod, old);
}

/** podIP is the first of podIPs, and has the last word. Source: conversion of core/v1 PodStatus */
function syncPodIps(pod: Pod): void {
  const { status } = pod;
  const ip = status?.podIP ?? "";
  const first = status?.podIPs?.[0]?.ip;
  if (status === undefined) return;
  if (ip !== "" && first !== ip) status.podIPs = [{ ip }];
  else if (ip === "" && first !== undefined) status.podIP = first;
}

/** Pods wait for a gate: the condition that says so is there from the start. */
function gatedCondition(pod: Pod): void {
  if ((pod.spec?.schedulingGates?.length ?? 0) === 0 || pod.status === undefined) return;
  pod.status.conditions = [
    {
      type: "PodScheduled",
      status: "False",
      reason: "SchedulingGated",
      message: "Scheduling is blocked due to non-empty scheduling gates",
    },
  ];
}

/** Source: pkg/registry/core/pod/strategy.go */
export const podKind = defineKind<Pod>({
  ref: core.pods,
  shortNames: ["po"],
  categories: ["all"],
  subresources: [
    { name: "attach", kind: "PodAttachOptions", verbs: streams },
    { name: "binding", kind: "Binding", verbs: ["create"] },
    { name: "ephemeralcontainers", kind: "Pod", verbs: changes },
    { name: "eviction", kind: "Eviction", group: "policy", version: "v1", verbs: ["create"] },
    { name: "exec", kind: "PodExecOptions", verbs: streams },
    { name: "log", kind: "Pod", verbs: ["get"] },
    { name: "portforward", kind: "PodPortForwardOptions", verbs: streams },
    { name: "proxy", kind: "PodProxyOptions", verbs: proxying },
    { name: "resize", kind: "Pod", verbs: changes },
    statusOf("Pod"),
  ],
  prefix: "/registry/pods",
  nameRule: subdomainName,
  selectable: {
    "spec.nodeName": (pod) => pod.spec?.nodeName ?? "",
    "spec.restartPolicy": (pod) => pod.spec?.restartPolicy ?? "",
    "spec.schedulerName": (pod) => pod.spec?.schedulerName ?? "",
    "spec.serviceAccountName": (pod) => pod.spec?.serviceAccountName ?? "",
    "spec.hostNetwork": (pod) => String(pod.spec?.hostNetwork ?? false),
    "status.phase": (pod) => pod.status?.phase ?? "",
    "status.podIP": (pod) => pod.status?.podIPs?.[0]?.ip ?? "",
    "status.podIPs": (pod) => pod.status?.podIPs?.[0]?.ip ?? "",
    "status.nominatedNodeName": (pod) => pod.status?.nominatedNodeName ?? "",
  },
  default(pod) {
    pod.spec ??= { containers: [] };
    defaultPodSpec(pod.spec);
    defaultPodOnly(pod.spec);
    syncPodIps(pod);
  },
  prepareForCreate(pod) {
    if (pod.spec === undefined) return;
    pod.status = { phase: "Pending", qosClass: podQosClass(pod.spec) };
    gatedCondition(pod);
  },
  prepareForUpdate(pod, old, subresource) {
    if (subresource === "status") prepareStatus(pod, old);
    else if (subresource === "resize") prepareResize(pod, old);
    else if (subresource === "ephemeralcontainers") prepareEphemeralContainers(pod, old);
    // The default strategy has compared the specs before these subresources restored theirs.
    if (subresource === "resize" || subresource === "ephemeralcontainers") {
      if (deepEqual(pod.spec, old.spec)) pod.metadata.generation = old.metadata.generation;
      else bumpGeneration(pod, old);
    }
  },
  validate: validatePod,
  validateUpdate: validatePodUpdate,
  validateSubresource(errors, pod, old, subresource) {
    if (subresource === "status") validatePodStatusUpdate(errors, pod, old);
    else if (subresource === "resize") validatePodResize(errors, pod, old);
    else if (subresource === "ephemeralcontainers") validateEphemeralContainersUpdate(errors, pod, old);
  },
  warnings: (pod, old) => (old === undefined ? podWarnings(pod) : []),
  resetFields: { status: [["spec"], ["metadata", "deletionTimestamp"], ["metadata", "ownerReferences"]] },
  deletion: {
    graceSeconds(pod, requestedSeconds) {
      const seconds = requestedSeconds ?? pod.spec?.terminationGracePeriodSeconds ?? 0;
      const isDone = pod.status?.phase === "Failed" || pod.status?.phase === "Succeeded";
      if ((pod.spec?.nodeName ?? "") === "" || isDone) return 0;
      return seconds < 0 ? 1 : seconds;
    },
  },
  columns: podColumns,
  rowConditions: podRowConditions,
});
