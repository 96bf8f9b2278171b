import { ageColumn, nameColumn, orNone, textColumn } from "../../columns.ts";
import { deepEqual } from "../../deep-equal.ts";
import { defineKind, statusOf } from "../../define-kind.ts";
import { certificates } from "../../generated/resources.ts";
import type { CertificateSigningRequest } from "../../generated/types/certificates-v1.ts";
import { humanDuration } from "../../human-duration.ts";
import { validateOneOf } from "../../validation/common.ts";
import type { FieldErrors } from "../../validation/field-errors.ts";
import { subdomainName } from "../../validation/names.ts";
import { decodeBase64 } from "../../validation/sizes.ts";

const usages = [
  ...["any", "cert sign", "client auth", "code signing", "content commitment", "crl sign", "data encipherment"],
  ...["decipher only", "digital signature", "email protection", "encipher only", "ipsec end system", "ipsec tunnel"],
  ...["ipsec user", "key agreement", "key encipherment", "microsoft sgc", "netscape sgc", "ocsp signing"],
  ...["s/mime", "server auth", "signing", "timestamping"],
];

const minExpirationSeconds = 600;

function has(request: CertificateSigningRequest, type: string): boolean {
  return request.status?.conditions?.some((condition) => condition.type === type) ?? false;
}

function conditionText(request: CertificateSigningRequest): string {
  const parts = [has(request, "Denied") ? "Denied" : has(request, "Approved") ? "Approved" : "Pending"];
  if (has(request, "Failed")) parts.push("Failed");
  if ((request.status?.certificate ?? "") !== "") parts.push("Issued");
  return parts.join(",");
}

/** A PKCS #10 request between PEM lines; what it says is the signer's business. */
function isPemRequest(base64: string): boolean {
  const pem = decodeBase64(base64)?.trim() ?? "";
  return /^-----BEGIN (NEW )?CERTIFICATE REQUEST-----[\s\S]+-----END (NEW )?CERTIFICATE REQUEST-----$/.test(pem);
}

function validateSignerName(errors: FieldErrors, name: string): void {
  const [domain = "", ...path] = name.split("/");
  if (name === "") errors.required("spec.signerName");
  else if (path.length !== 1 || domain === "" || path[0] === "") {
    errors.invalid(
      "spec.signerName",
      name,
      "must be a fully qualified domain and path of the form 'example.com/signer-name'",
    );
  } else if (!domain.includes(".")) {
    errors.invalid("spec.signerName", name, "should be a domain with at least two segments separated by dots");
  }
}

/** Conditions of a decision, once made, stay. */
function validateConditions(errors: FieldErrors, request: CertificateSigningRequest): void {
  if (has(request, "Approved") && has(request, "Denied")) {
    errors.invalid("status.conditions", "Denied", "Approved and Denied conditions are mutually exclusive");
  }
  for (const [i, condition] of (request.status?.conditions ?? []).entries()) {
    const path = `status.conditions[${i}]`;
    if (condition.type === "") errors.required(`${path}.type`);
    if ((condition.status ?? "") === "") errors.required(`${path}.status`);
    else if (["Approved", "Denied", "Failed"].includes(condition.type)) {
      validateOneOf(errors, `${path}.status`, condition.status, ["True"]);
    } else validateOneOf(errors, `${path}.status`, condition.status, ["True", "False", "Unknown"]);
  }
}

/** Source: pkg/registry/certificates/certificates/strategy.go, ValidateCertificateSigningRequestCreate */
export const certificateSigningRequestKind = defineKind<CertificateSigningRequest>({
  ref: certificates.certificatesigningrequests,
  shortNames: ["csr"],
  subresources: [
    { name: "approval", kind: "CertificateSigningRequest", verbs: ["get", "patch", "update"] },
    statusOf("CertificateSigningRequest"),
  ],
  prefix: "/registry/certificatesigningrequests",
  nameRule: subdomainName,
  statusFreezesMetadata: true,
  generation: "none",
  selectable: { "spec.signerName": (request) => request.spec.signerName },
  default(request) {
    for (const condition of request.status?.conditions ?? []) condition.status ||= "True";
  },
  prepareForUpdate(request, old, subresource) {
    request.spec = old.spec;
    if (subresource !== "approval") {
      // Only /approval decides.
      const decided = (type: string) => type === "Approved" || type === "Denied";
      const kept = (old.status?.conditions ?? []).filter((condition) => decided(condition.type));
      const added = (request.status?.conditions ?? []).filter((condition) => !decided(condition.type));
      if (subresource === "status" && kept.length + added.length > 0) {
        request.status = { ...request.status, conditions: [...kept, ...added] };
      }
      return;
    }
    const conditions = request.status?.conditions;
    request.status = { ...old.status, ...(conditions === undefined ? {} : { conditions }) };
  },
  validate(errors, request) {
    const { spec } = request;
    if ((spec.request ?? "") === "" || !isPemRequest(spec.request)) {
      errors.invalid("spec.request", spec.request ?? "", "PEM block type must be CERTIFICATE REQUEST");
    }
    if ((spec.usages ?? []).length === 0) errors.required("spec.usages");
    for (const [i, usage] of (spec.usages ?? []).entries()) {
      if (!usages.includes(usage)) errors.notSupported(`spec.usages[${i}]`, usage, usages);
      if (spec.usages?.indexOf(usage) !== i) errors.duplicate(`spec.usages[${i}]`, usage);
    }
    if (spec.signerName === "kubernetes.io/legacy-unknown") {
      errors.invalid("spec.signerName", spec.signerName, "the legacy signerName is not allowed via this API version");
    } else validateSignerName(errors, spec.signerName);
    if (spec.expirationSeconds !== undefined && spec.expirationSeconds < minExpirationSeconds) {
      const detail = `may not specify a duration less than ${minExpirationSeconds} seconds (10m0s)`;
      errors.invalid("spec.expirationSeconds", spec.expirationSeconds, detail);
    }
    validateConditions(errors, request);
  },
  validateSubresource(errors, request, old) {
    validateConditions(errors, request);
    for (const type of ["Approved", "Denied", "Failed"]) {
      const before = old.status?.conditions?.filter((condition) => condition.type === type) ?? [];
      const now = request.status?.conditions?.filter((condition) => condition.type === type) ?? [];
      if (before.length > 0 && now.length < before.length) {
        errors.forbidden("status.conditions", `updates may not remove a condition of type ${JSON.stringify(type)}`);
      }
    }
    const issued = old.status?.certificate ?? "";
    if (issued !== "" && !deepEqual(request.status?.certificate, issued)) {
      errors.forbidden("status.certificate", "updates may not set certificate content");
    }
  },
  columns: [
    nameColumn(),
    ageColumn(),
    textColumn("SignerName", (request) => orNone(request.spec.signerName)),
    textColumn("Requestor", (request) => request.spec.username ?? ""),
    textColumn("RequestedDuration", ({ spec }) =>
      spec.expirationSeconds === undefined ? "<none>" : humanDuration(spec.expirationSeconds * 1000),
    ),
    textColumn("Condition", conditionText),
  ],
});
