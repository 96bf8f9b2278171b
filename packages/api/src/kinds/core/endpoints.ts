import { isDns1123Label, isDns1123Subdomain } from "@knarr/apimachinery/name-validation.ts";
import { ageColumn, nameColumn, textColumn } from "../../columns.ts";
import { defineKind } from "../../define-kind.ts";
import { core } from "../../generated/resources.ts";
import type { EndpointAddress, EndpointPort, EndpointSubset, Endpoints } from "../../generated/types/core-v1.ts";
import { protocols, validateRequiredOneOf } from "../../validation/common.ts";
import type { FieldErrors } from "../../validation/field-errors.ts";
import { isIpv6, validateEndpointIp, validateIpSloppy } from "../../validation/ip.ts";
import { portNumberErrors, subdomainName } from "../../validation/names.ts";

function validateAddress(errors: FieldErrors, path: string, address: EndpointAddress): void {
  validateIpSloppy(errors, `${path}.ip`, address.ip);
  if ((address.hostname ?? "") !== "") {
    errors.invalidAll(`${path}.hostname`, address.hostname, isDns1123Label(address.hostname ?? ""));
  }
  if (address.nodeName !== undefined) {
    errors.invalidAll(`${path}.nodeName`, address.nodeName, isDns1123Subdomain(address.nodeName));
  }
  validateEndpointIp(errors, `${path}.ip`, address.ip);
}

function validatePort(errors: FieldErrors, path: string, port: EndpointPort, needsName: boolean): void {
  const name = port.name ?? "";
  if (name === "" && needsName) errors.required(`${path}.name`);
  else if (name !== "") errors.invalidAll(`${path}.name`, name, isDns1123Label(name));
  errors.invalidAll(`${path}.port`, port.port, portNumberErrors(port.port));
  validateRequiredOneOf(errors, `${path}.protocol`, port.protocol, protocols);
}

function validateSubset(errors: FieldErrors, path: string, subset: EndpointSubset): void {
  const addresses = subset.addresses ?? [];
  const notReady = subset.notReadyAddresses ?? [];
  if (addresses.length === 0 && notReady.length === 0) {
    errors.required(path, "must specify `addresses` or `notReadyAddresses`");
  }
  for (const [i, address] of addresses.entries()) validateAddress(errors, `${path}.addresses[${i}]`, address);
  for (const [i, address] of notReady.entries()) validateAddress(errors, `${path}.notReadyAddresses[${i}]`, address);
  const ports = subset.ports ?? [];
  for (const [i, port] of ports.entries()) validatePort(errors, `${path}.ports[${i}]`, port, ports.length > 1);
}

/** Three addresses and how many more. Source: formatEndpoints */
function formatEndpoints(endpoints: Endpoints): string {
  const subsets = endpoints.subsets ?? [];
  if (subsets.length === 0) return "<none>";
  const all = subsets.flatMap((subset) => {
    const ips = (subset.addresses ?? []).map((address) => address.ip);
    const ports = subset.ports ?? [];
    if (ports.length === 0) return ips;
    return ports.flatMap((port) => ips.map((ip) => `${isIpv6(ip) ? `[${ip}]` : ip}:${port.port}`));
  });
  const shown = all.slice(0, 3).join(",");
  return all.length > 3 ? `${shown} + ${all.length - 3} more...` : shown;
}

/** Source: pkg/registry/core/endpoint/strategy.go */
export const endpointsKind = defineKind<Endpoints>({
  ref: core.endpoints,
  singular: "endpoints",
  shortNames: ["ep"],
  prefix: "/registry/services/endpoints",
  nameRule: subdomainName,
  allowCreateOnUpdate: true,
  default(endpoints) {
    for (const subset of endpoints.subsets ?? []) for (const port of subset.ports ?? []) port.protocol ||= "TCP";
  },
  validate(errors, endpoints) {
    for (const [i, subset] of (endpoints.subsets ?? []).entries()) validateSubset(errors, `subsets[${i}]`, subset);
  },
  warnings: () => ["v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"],
  columns: [nameColumn(), textColumn("Endpoints", formatEndpoints), ageColumn()],
});
