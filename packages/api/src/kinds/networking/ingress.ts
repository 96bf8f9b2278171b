import { isDns1123Subdomain } from "@knarr/apimachinery/name-validation.ts";
import { ageColumn, nameColumn, textColumn } from "../../columns.ts";
import { defineKind, statusOf } from "../../define-kind.ts";
import { networking } from "../../generated/resources.ts";
import type { HTTPIngressPath, Ingress, IngressBackend, IngressSpec } from "../../generated/types/networking-v1.ts";
import { requireText, validateOneOf, validatePortNumberOrName } from "../../validation/common.ts";
import type { FieldErrors } from "../../validation/field-errors.ts";
import { isIp } from "../../validation/ip.ts";
import { labelName, subdomainName } from "../../validation/names.ts";

function validateBackend(errors: FieldErrors, path: string, backend: IngressBackend): void {
  const { service, resource } = backend;
  if (service !== undefined && resource !== undefined) {
    errors.invalid(path, "", "cannot set both resource and service backends");
  } else if (resource !== undefined) {
    requireText(errors, `${path}.resource.kind`, resource.kind);
    requireText(errors, `${path}.resource.name`, resource.name);
  } else if (service !== undefined) {
    if (requireText(errors, `${path}.service.name`, service.name)) {
      errors.invalidAll(`${path}.service.name`, service.name, labelName(service.name, false));
    }
    const { name = "", number = 0 } = service.port ?? {};
    if (name !== "" && number !== 0) errors.invalid(path, "", "cannot set both port name & port number");
    else if (name !== "") validatePortNumberOrName(errors, `${path}.service.port.name`, name);
    else if (number !== 0) validatePortNumberOrName(errors, `${path}.service.port.number`, number);
    else errors.required(path, "port name or number is required");
  } else errors.invalid(path, "", "resource or service backend is required");
}

const badSequences = ["//", "/./", "/../", "%2f", "%2F"];
const badEndings = ["/..", "/."];

function validatePath(errors: FieldErrors, at: string, path: HTTPIngressPath): void {
  const value = path.path ?? "";
  if (path.pathType === undefined) {
    errors.required(`${at}.pathType`, "pathType must be specified");
    return;
  }
  validateOneOf(errors, `${at}.pathType`, path.pathType, ["Exact", "ImplementationSpecific", "Prefix"]);
  if (path.pathType === "ImplementationSpecific") {
    if (value !== "" && !value.startsWith("/")) errors.invalid(`${at}.path`, value, "must be an absolute path");
  } else if (path.pathType === "Exact" || path.pathType === "Prefix") {
    if (!value.startsWith("/")) errors.invalid(`${at}.path`, value, "must be an absolute path");
    for (const bad of badSequences)
      if (value.includes(bad)) errors.invalid(`${at}.path`, value, `must not contain '${bad}'`);
    for (const bad of badEndings)
      if (value.endsWith(bad)) errors.invalid(`${at}.path`, value, `cannot end with '${bad}'`);
  }
  validateBackend(errors, `${at}.backend`, path.backend);
}

function validateHost(errors: FieldErrors, path: string, host: string): void {
  if (host === "") return;
  if (isIp(host)) errors.invalid(path, host, "must be a DNS name, not an IP address");
  else if (host.includes("*")) {
    if (!host.startsWith("*.") || isDns1123Subdomain(host.slice(2)).length > 0) {
      const rule = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain";
      errors.invalid(
        path,
        host,
        `${rule}, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', regex used for validation is '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')`,
      );
    }
  } else errors.invalidAll(path, host, isDns1123Subdomain(host));
}

function validateSpec(errors: FieldErrors, spec: IngressSpec): void {
  if ((spec.rules ?? []).length === 0 && spec.defaultBackend === undefined) {
    errors.invalid("spec", spec.rules ?? [], "either `defaultBackend` or `rules` must be specified");
  }
  if (spec.defaultBackend !== undefined) validateBackend(errors, "spec.defaultBackend", spec.defaultBackend);
  for (const [i, rule] of (spec.rules ?? []).entries()) {
    const path = `spec.rules[${i}]`;
    validateHost(errors, `${path}.host`, rule.host ?? "");
    if (rule.http === undefined) continue;
    if ((rule.http.paths ?? []).length === 0) errors.required(`${path}.http.paths`);
    for (const [j, item] of (rule.http.paths ?? []).entries()) validatePath(errors, `${path}.http.paths[${j}]`, item);
  }
  for (const [i, tls] of (spec.tls ?? []).entries()) {
    for (const [j, host] of (tls.hosts ?? []).entries()) validateHost(errors, `spec.tls[${i}].hosts[${j}]`, host);
    const secret = tls.secretName ?? "";
    if (secret !== "") errors.invalidAll(`spec.tls[${i}].secretName`, secret, subdomainName(secret, false));
  }
  if (spec.ingressClassName !== undefined) {
    errors.invalidAll("spec.ingressClassName", spec.ingressClassName, isDns1123Subdomain(spec.ingressClassName));
  }
}

/** The first three hosts; "*" when no rule names one. Source: formatHosts */
function hostsText(ingress: Ingress): string {
  const rules = ingress.spec?.rules ?? [];
  const hosts: string[] = [];
  for (const { host = "" } of rules) {
    // The rest is counted by rules, those without a host among them.
    if (hosts.length === 3) return `${hosts.join(",")} + ${rules.length - 3} more...`;
    if (host !== "") hosts.push(host);
  }
  return hosts.length === 0 ? "*" : hosts.join(",");
}

function addressText(ingress: Ingress): string {
  const points = ingress.status?.loadBalancer?.ingress ?? [];
  const addresses = new Set(points.map((point) => point.ip || point.hostname || "").filter((text) => text !== ""));
  return [...addresses].sort().join(",");
}

/** Source: pkg/registry/networking/ingress/strategy.go, ValidateIngressSpec */
export const ingressKind = defineKind<Ingress>({
  ref: networking.ingresses,
  shortNames: ["ing"],
  subresources: [statusOf("Ingress")],
  prefix: "/registry/ingress",
  nameRule: subdomainName,
  validate(errors, ingress) {
    if (ingress.spec !== undefined) validateSpec(errors, ingress.spec);
  },
  warnings(ingress, old) {
    const name = "kubernetes.io/ingress.class";
    if (old !== undefined || ingress.metadata.annotations?.[name] === undefined) return [];
    return [`annotation ${JSON.stringify(name)} is deprecated, please use 'spec.ingressClassName' instead`];
  },
  columns: [
    nameColumn(),
    textColumn("Class", (ingress) => ingress.spec?.ingressClassName ?? "<none>"),
    textColumn("Hosts", hostsText),
    textColumn("Address", addressText),
    textColumn("Ports", (ingress) => ((ingress.spec?.tls?.length ?? 0) > 0 ? "80, 443" : "80")),
    ageColumn(),
  ],
});
