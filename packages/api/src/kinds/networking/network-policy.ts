import { ageColumn, formatSelector, nameColumn, textColumn } from "../../columns.ts";
import { deepEqual } from "../../deep-equal.ts";
import { bumpGeneration, defineKind } from "../../define-kind.ts";
import { networking } from "../../generated/resources.ts";
import type {
  IPBlock,
  NetworkPolicy,
  NetworkPolicyPeer,
  NetworkPolicyPort,
} from "../../generated/types/networking-v1.ts";
import { protocols, validateOneOf, validatePortNumberOrName } from "../../validation/common.ts";
import type { FieldErrors } from "../../validation/field-errors.ts";
import { ipBits, parseCidr, validateCidrSloppy } from "../../validation/ip.ts";
import { portNumberErrors, subdomainName } from "../../validation/names.ts";
import { validateLabelSelector } from "../../validation/object-meta.ts";

function validatePort(errors: FieldErrors, path: string, port: NetworkPolicyPort): void {
  if (port.protocol !== undefined) validateOneOf(errors, `${path}.protocol`, port.protocol, protocols);
  if (port.port !== undefined) {
    validatePortNumberOrName(errors, `${path}.port`, port.port);
    if (port.endPort === undefined) return;
    if (typeof port.port === "string")
      errors.invalid(`${path}.endPort`, port.endPort, "may not be specified when `port` is non-numeric");
    else if (port.endPort < port.port)
      errors.invalid(`${path}.endPort`, port.endPort, "must be greater than or equal to `port`");
    errors.invalidAll(`${path}.endPort`, port.endPort, portNumberErrors(port.endPort));
  } else if (port.endPort !== undefined) {
    errors.invalid(`${path}.endPort`, port.endPort, "must be specified when `port` is not specified");
  }
}

function validateBlock(errors: FieldErrors, path: string, block: IPBlock): void {
  if ((block.cidr ?? "") === "") {
    errors.required(`${path}.cidr`);
    return;
  }
  validateCidrSloppy(errors, `${path}.cidr`, block.cidr);
  const outer = parseCidr(block.cidr);
  for (const [i, except] of (block.except ?? []).entries()) {
    const at = `${path}.except[${i}]`;
    validateCidrSloppy(errors, at, except);
    const inner = parseCidr(except);
    if (outer === undefined || inner === undefined) continue;
    const shift = BigInt((outer.family === "IPv4" ? 32 : 128) - outer.prefixLength);
    const within = inner.family === outer.family && inner.prefixLength > outer.prefixLength;
    if (!within || ipBits(inner.address) >> shift !== ipBits(outer.address) >> shift) {
      errors.invalid(at, except, "must be a strict subset of `cidr`");
    }
  }
}

function validatePeer(errors: FieldErrors, path: string, peer: NetworkPolicyPeer): void {
  const selects = peer.podSelector !== undefined || peer.namespaceSelector !== undefined;
  validateLabelSelector(errors, `${path}.podSelector`, peer.podSelector);
  validateLabelSelector(errors, `${path}.namespaceSelector`, peer.namespaceSelector);
  if (peer.ipBlock !== undefined) validateBlock(errors, `${path}.ipBlock`, peer.ipBlock);
  if (!selects && peer.ipBlock === undefined) errors.required(path, "must specify a peer");
  else if (selects && peer.ipBlock !== undefined)
    errors.forbidden(path, "may not specify both ipBlock and another peer");
}

/** Source: pkg/registry/networking/networkpolicy/strategy.go, ValidateNetworkPolicySpec */
export const networkPolicyKind = defineKind<NetworkPolicy>({
  ref: networking.networkpolicies,
  shortNames: ["netpol"],
  prefix: "/registry/networkpolicies",
  nameRule: subdomainName,
  default({ spec }) {
    if (spec === undefined) return;
    for (const rule of [...(spec.ingress ?? []), ...(spec.egress ?? [])]) {
      for (const port of rule.ports ?? []) port.protocol ??= "TCP";
    }
    if ((spec.policyTypes?.length ?? 0) > 0) return;
    spec.policyTypes = (spec.egress?.length ?? 0) > 0 ? ["Ingress", "Egress"] : ["Ingress"];
  },
  prepareForCreate(object) {
    object.metadata.generation = 1;
  },
  prepareForUpdate(object, old) {
    if (!deepEqual(object.spec, old.spec)) bumpGeneration(object, old);
  },
  validate(errors, { spec }) {
    if (spec === undefined) return;
    validateLabelSelector(errors, "spec.podSelector", spec.podSelector);
    for (const [i, rule] of (spec.ingress ?? []).entries()) {
      const path = `spec.ingress[${i}]`;
      for (const [j, port] of (rule.ports ?? []).entries()) validatePort(errors, `${path}.ports[${j}]`, port);
      for (const [j, peer] of (rule.from ?? []).entries()) validatePeer(errors, `${path}.from[${j}]`, peer);
    }
    for (const [i, rule] of (spec.egress ?? []).entries()) {
      const path = `spec.egress[${i}]`;
      for (const [j, port] of (rule.ports ?? []).entries()) validatePort(errors, `${path}.ports[${j}]`, port);
      for (const [j, peer] of (rule.to ?? []).entries()) validatePeer(errors, `${path}.to[${j}]`, peer);
    }
    const types = spec.policyTypes ?? [];
    if (types.length > 2) errors.invalid("spec.policyTypes", types, "may not specify more than two policyTypes");
    else
      for (const [i, type] of types.entries())
        validateOneOf(errors, `spec.policyTypes[${i}]`, type, ["Egress", "Ingress"]);
  },
  columns: [nameColumn(), textColumn("Pod-Selector", ({ spec }) => formatSelector(spec?.podSelector)), ageColumn()],
});
