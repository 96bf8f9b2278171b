import {
  isDns1123Label,
  isDns1123Subdomain,
  isLabelValue,
  isQualifiedName,
} from "@knarr/apimachinery/name-validation.ts";
import { ageColumn, listWithMore, nameColumn, textColumn } from "../../columns.ts";
import { deepEqual } from "../../deep-equal.ts";
import { bumpGeneration, defineKind } from "../../define-kind.ts";
import { discovery } from "../../generated/resources.ts";
import type { Endpoint, EndpointPort, EndpointSlice } from "../../generated/types/discovery-v1.ts";
import { protocols, requireText, validateRequiredOneOf } from "../../validation/common.ts";
import type { FieldErrors } from "../../validation/field-errors.ts";
import { ipFamily, validateEndpointIp } from "../../validation/ip.ts";
import { portNumberErrors, subdomainName } from "../../validation/names.ts";
import { validateLabels } from "../../validation/object-meta.ts";

const maxPorts = 20_000;
const maxEndpoints = 1000;
const maxAddresses = 100;
const maxTopology = 16;
const maxHints = 8;
const addressTypes = ["FQDN", "IPv4", "IPv6"];

/** Source: k8s.io/apimachinery/pkg/util/validation IsFullyQualifiedDomainName */
function validateDomain(errors: FieldErrors, path: string, name: string): void {
  if (!requireText(errors, path, name)) return;
  const domain = name.replace(/\.$/, "");
  const problems = isDns1123Subdomain(domain);
  errors.invalidAll(path, domain, problems);
  if (problems.length > 0) return;
  const labels = domain.split(".");
  if (labels.length < 2) {
    errors.invalid(path, domain, "should be a domain with at least two segments separated by dots");
    return;
  }
  for (const label of labels) errors.invalidAll(path, label, isDns1123Label(label));
}

/** Names of zones or nodes, each once. Source: validateHints */
function validateHints(
  errors: FieldErrors,
  path: string,
  hints: readonly { readonly name: string }[] | undefined,
  rule: (name: string) => string[],
): void {
  if (hints === undefined) return;
  if (hints.length > maxHints) {
    errors.tooMany(path, hints.length, maxHints);
    return;
  }
  const names = hints.map(({ name }) => name);
  for (const [i, name] of names.entries()) {
    if (names.indexOf(name) < i) errors.duplicate(`${path}[${i}].name`, name);
    errors.invalidAll(`${path}[${i}].name`, name, rule(name));
  }
}

function validateAddress(errors: FieldErrors, path: string, address: string, type: string): void {
  if (type === "FQDN") validateDomain(errors, path, address);
  else if (type === "IPv4" || type === "IPv6") {
    if (ipFamily(address) === type) validateEndpointIp(errors, path, address);
    else errors.invalid(path, address, type === "IPv4" ? "must be an IPv4 address" : "must be an IPv6 address");
  }
}

function validateEndpoint(errors: FieldErrors, path: string, endpoint: Endpoint, type: string): void {
  const addresses = endpoint.addresses ?? [];
  if (addresses.length === 0) errors.required(`${path}.addresses`, "must contain at least 1 address");
  if (addresses.length > maxAddresses) errors.tooMany(`${path}.addresses`, addresses.length, maxAddresses);
  for (const [i, address] of addresses.entries()) validateAddress(errors, `${path}.addresses[${i}]`, address, type);
  if (endpoint.nodeName !== undefined) {
    errors.invalidAll(`${path}.nodeName`, endpoint.nodeName, isDns1123Subdomain(endpoint.nodeName));
  }
  if (endpoint.hostname !== undefined) {
    errors.invalidAll(`${path}.hostname`, endpoint.hostname, isDns1123Label(endpoint.hostname));
  }
  const topology = Object.keys(endpoint.deprecatedTopology ?? {});
  if (topology.length > maxTopology) errors.tooMany(`${path}.deprecatedTopology`, topology.length, maxTopology);
  validateLabels(errors, `${path}.deprecatedTopology`, endpoint.deprecatedTopology);
  validateHints(errors, `${path}.hints.forZones`, endpoint.hints?.forZones, isLabelValue);
  validateHints(errors, `${path}.hints.forNodes`, endpoint.hints?.forNodes, isDns1123Subdomain);
}

function validatePort(errors: FieldErrors, path: string, port: EndpointPort, names: Set<string>): void {
  const name = port.name ?? "";
  if (name !== "") errors.invalidAll(`${path}.name`, name, isDns1123Label(name));
  if (names.has(name)) errors.duplicate(`${path}.name`, name);
  names.add(name);
  if (port.port !== undefined) errors.invalidAll(`${path}.port`, port.port, portNumberErrors(port.port));
  validateRequiredOneOf(errors, `${path}.protocol`, port.protocol, protocols);
  if (port.appProtocol !== undefined) {
    errors.invalidAll(`${path}.appProtocol`, port.appProtocol, isQualifiedName(port.appProtocol));
  }
}

function portsText(slice: EndpointSlice): string {
  const ports = (slice.ports ?? []).map((port) => (port.port === undefined ? (port.name ?? "*") : String(port.port)));
  return listWithMore(ports, 3) || "<unset>";
}

function endpointsText(slice: EndpointSlice): string {
  const addresses = (slice.endpoints ?? []).flatMap((endpoint) => endpoint.addresses ?? []);
  return addresses.length === 0 ? "<unset>" : listWithMore(addresses, 3);
}

/** Source: pkg/registry/discovery/endpointslice/strategy.go, ValidateEndpointSlice */
export const endpointSliceKind = defineKind<EndpointSlice>({
  ref: discovery.endpointslices,
  prefix: "/registry/endpointslices",
  nameRule: subdomainName,
  allowUnconditionalUpdate: true,
  default(slice) {
    for (const port of slice.ports ?? []) {
      port.name ??= "";
      port.protocol ??= "TCP";
    }
  },
  prepareForCreate(slice) {
    slice.metadata.generation = 1;
  },
  prepareForUpdate(slice, old) {
    const content = ({ metadata, ...rest }: EndpointSlice) => ({ ...rest, labels: metadata.labels });
    if (!deepEqual(content(slice), content(old))) bumpGeneration(slice, old);
  },
  validate(errors, slice) {
    validateRequiredOneOf(errors, "addressType", slice.addressType, addressTypes);
    const endpoints = slice.endpoints ?? [];
    if (endpoints.length > maxEndpoints) errors.tooMany("endpoints", endpoints.length, maxEndpoints);
    for (const [i, endpoint] of endpoints.entries()) {
      validateEndpoint(errors, `endpoints[${i}]`, endpoint, slice.addressType);
    }
    const ports = slice.ports ?? [];
    if (ports.length > maxPorts) errors.tooMany("ports", ports.length, maxPorts);
    const names = new Set<string>();
    for (const [i, port] of ports.entries()) validatePort(errors, `ports[${i}]`, port, names);
  },
  validateUpdate(errors, slice, old) {
    if (slice.addressType !== old.addressType) errors.invalid("addressType", slice.addressType, "field is immutable");
  },
  columns: [
    nameColumn(),
    textColumn("AddressType", (slice) => slice.addressType),
    textColumn("Ports", portsText),
    textColumn("Endpoints", endpointsText),
    ageColumn(),
  ],
});
