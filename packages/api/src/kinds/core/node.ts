import { isLabelValue, isQualifiedName } from "@knarr/apimachinery/name-validation.ts";
import { ageColumn, nameColumn, orNone, textColumn } from "../../columns.ts";
import { deepEqual } from "../../deep-equal.ts";
import { defineKind, statusOf } from "../../define-kind.ts";
import { core } from "../../generated/resources.ts";
import type { Node } from "../../generated/types/core-v1.ts";
import { validateOneOf, validateQuantity } from "../../validation/common.ts";
import type { FieldErrors } from "../../validation/field-errors.ts";
import { validateCidrSloppy } from "../../validation/ip.ts";
import { subdomainName } from "../../validation/names.ts";

const rolePrefix = "node-role.kubernetes.io/";

function rolesOf(node: Node): string {
  const roles = new Set<string>();
  for (const [key, value] of Object.entries(node.metadata.labels ?? {})) {
    if (key.startsWith(rolePrefix) && key.length > rolePrefix.length) roles.add(key.slice(rolePrefix.length));
    else if (key === "kubernetes.io/role" && value !== "") roles.add(value);
  }
  return orNone([...roles].sort().join(","));
}

function statusText(node: Node): string {
  const ready = node.status?.conditions?.find((condition) => condition.type === "Ready");
  const status = ready === undefined ? "Unknown" : ready.status === "True" ? "Ready" : "NotReady";
  return node.spec?.unschedulable === true ? `${status},SchedulingDisabled` : status;
}

function addressOf(node: Node, type: string): string {
  return node.status?.addresses?.find((address) => address.type === type)?.address ?? "<none>";
}

function orUnknown(text: string | undefined): string {
  return text === undefined || text === "" ? "<unknown>" : text;
}

function validateTaints(errors: FieldErrors, node: Node): void {
  const seen = new Map<string, Set<string>>();
  for (const [i, taint] of (node.spec?.taints ?? []).entries()) {
    const path = `spec.taints[${i}]`;
    errors.invalidAll(`${path}.key`, taint.key, isQualifiedName(taint.key));
    const problems = isLabelValue(taint.value ?? "");
    if (problems.length > 0) errors.invalid(`${path}.value`, taint.value ?? "", problems.join(";"));
    if (taint.effect === "") errors.required(`${path}.effect`);
    else validateOneOf(errors, `${path}.effect`, taint.effect, ["NoSchedule", "PreferNoSchedule", "NoExecute"]);
    const keys = seen.get(taint.effect) ?? new Set();
    if (keys.has(taint.key)) {
      // Upstream names the taint and says that pairs of key and effect are unique.
      errors.duplicate(path, taint);
      const last = errors.list.pop();
      if (last !== undefined) {
        errors.list.push({ ...last, message: `${last.message}: taints must be unique by key and effect pair` });
      }
    }
    keys.add(taint.key);
    seen.set(taint.effect, keys);
  }
}

/** podCIDR is the first of podCIDRs. Source: conversion of core/v1 NodeSpec */
function syncCidrs(node: Node): void {
  if (node.spec === undefined) return;
  const { podCIDR = "", podCIDRs = [] } = node.spec;
  if (podCIDR !== "" && podCIDRs[0] !== podCIDR) node.spec.podCIDRs = [podCIDR];
  else if (podCIDR === "" && podCIDRs[0] !== undefined) node.spec.podCIDR = podCIDRs[0];
}

function validateResources(errors: FieldErrors, node: Node): void {
  for (const field of ["capacity", "allocatable"] as const) {
    for (const [name, amount] of Object.entries(node.status?.[field] ?? {})) {
      validateQuantity(errors, `status.${field}.${name}`, amount);
    }
  }
}

function validateStatus(errors: FieldErrors, node: Node): void {
  validateResources(errors, node);
  const addresses = new Set<string>();
  for (const [i, address] of (node.status?.addresses ?? []).entries()) {
    const key = `${address.type}/${address.address}`;
    if (addresses.has(key)) errors.duplicate(`status.addresses[${i}]`, address);
    addresses.add(key);
  }
}

/** Source: pkg/registry/core/node/strategy.go, ValidateNode, ValidateNodeUpdate */
export const nodeKind = defineKind<Node>({
  ref: core.nodes,
  shortNames: ["no"],
  subresources: [
    { name: "proxy", kind: "NodeProxyOptions", verbs: ["create", "delete", "get", "patch", "update"] },
    statusOf("Node"),
  ],
  prefix: "/registry/minions",
  nameRule: subdomainName,
  generation: "none",
  // Source: nodeStrategy.PrepareForCreate: kubelets and simulated nodes register with all that they know.
  statusOnCreate: "kept",
  selectable: { "spec.unschedulable": (node) => String(node.spec?.unschedulable ?? false) },
  default(node) {
    syncCidrs(node);
    const { status } = node;
    if (status?.capacity !== undefined) status.allocatable ??= { ...status.capacity };
  },
  validate(errors, node, old) {
    validateTaints(errors, node);
    if (old === undefined) validateResources(errors, node);
    const cidrs = node.spec?.podCIDRs ?? [];
    for (const [i, cidr] of cidrs.entries()) validateCidrSloppy(errors, `spec.podCIDRs[${i}]`, cidr);
    if (cidrs.length > 2) {
      errors.invalid("spec.podCIDRs", cidrs, "may specify no more than one CIDR for each IP family");
    }
  },
  validateUpdate(errors, node, old) {
    const before = old.spec?.podCIDRs ?? [];
    if (before.length > 0 && !deepEqual(before, node.spec?.podCIDRs)) {
      errors.forbidden("spec.podCIDRs", 'node updates may not change podCIDR except from "" to valid');
    }
    const provider = old.spec?.providerID ?? "";
    if (provider !== "" && provider !== node.spec?.providerID) {
      errors.forbidden("spec.providerID", 'node updates may not change providerID except from "" to valid');
    }
  },
  validateSubresource: (errors, node) => validateStatus(errors, node),
  columns: [
    nameColumn(),
    textColumn("Status", statusText),
    textColumn("Roles", rolesOf),
    ageColumn(),
    textColumn("Version", (node) => node.status?.nodeInfo?.kubeletVersion ?? ""),
    textColumn("Internal-IP", (node) => addressOf(node, "InternalIP"), "wide"),
    textColumn("External-IP", (node) => addressOf(node, "ExternalIP"), "wide"),
    textColumn("OS-Image", (node) => orUnknown(node.status?.nodeInfo?.osImage), "wide"),
    textColumn("Kernel-Version", (node) => orUnknown(node.status?.nodeInfo?.kernelVersion), "wide"),
    textColumn("Container-Runtime", (node) => orUnknown(node.status?.nodeInfo?.containerRuntimeVersion), "wide"),
  ],
});
