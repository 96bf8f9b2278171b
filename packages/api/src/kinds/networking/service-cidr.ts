import { ageColumn, nameColumn, textColumn } from "../../columns.ts";
import { deepEqual } from "../../deep-equal.ts";
import { defineKind, statusOf } from "../../define-kind.ts";
import { networking } from "../../generated/resources.ts";
import type { ServiceCIDR } from "../../generated/types/networking-v1.ts";
import { parseCidr, validateCidr } from "../../validation/ip.ts";
import { subdomainName } from "../../validation/names.ts";

/** Source: pkg/registry/networking/servicecidr/strategy.go, ValidateServiceCIDR */
export const serviceCidrKind = defineKind<ServiceCIDR>({
  ref: networking.servicecidrs,
  subresources: [statusOf("ServiceCIDR")],
  prefix: "/registry/servicecidrs",
  nameRule: subdomainName,
  statusFreezesMetadata: true,
  generation: "none",
  validate(errors, object) {
    const cidrs = object.spec?.cidrs ?? [];
    if (cidrs.length === 0) errors.required("spec.cidrs", "at least one CIDR required");
    if (cidrs.length > 2) errors.invalid("spec", object.spec, "may only hold up to 2 values");
    for (const [i, cidr] of cidrs.entries()) validateCidr(errors, `spec.cidrs[${i}]`, cidr);
    const families = cidrs.map((cidr) => parseCidr(cidr)?.family);
    if (cidrs.length === 2 && families[0] !== undefined && families[0] === families[1]) {
      const detail = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
      errors.invalid("spec.cidrs", cidrs, detail);
    }
  },
  validateUpdate(errors, object, old) {
    const before = old.spec?.cidrs ?? [];
    const now = object.spec?.cidrs ?? [];
    const upgrade = before.length === 1 && now.length === 2 && now[0] === before[0];
    if (!upgrade && !deepEqual(now, before)) errors.invalid("spec.cidrs", now, "field is immutable");
  },
  columns: [nameColumn(), textColumn("CIDRs", (object) => (object.spec?.cidrs ?? []).join(",")), ageColumn()],
});
