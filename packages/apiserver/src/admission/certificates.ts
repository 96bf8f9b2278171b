/**
 * Who may approve and sign which certificate requests, and what may not be asked of anybody.
 * Source: k8s.io/kubernetes/plugin/pkg/admission/certificates/{approval,signing,subjectrestriction}
 */
import { certificates } from "@knarr/api/generated/resources.ts";
import type { CertificateSigningRequest } from "@knarr/api/generated/types/certificates-v1.ts";
import { SYSTEM_MASTERS } from "../authn/types.ts";
import { requestSubject } from "./certificate-request-subject.ts";
import {
  type AdmissionAttributes,
  type AdmissionEnvironment,
  type AdmissionPlugin,
  admissionForbidden,
  isFor,
} from "./plugin.ts";

const csrs = certificates.certificatesigningrequests;
const API_CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client";

export const certificateApproval: AdmissionPlugin = {
  name: "CertificateApproval",
  async validate(attributes, env) {
    if (attributes.operation !== "UPDATE" || !isFor(attributes, csrs, "approval")) return;
    await requireSigner(attributes, env, "approve");
  },
};

export const certificateSigning: AdmissionPlugin = {
  name: "CertificateSigning",
  async validate(attributes, env) {
    if (attributes.operation !== "UPDATE" || !isFor(attributes, csrs, "status")) return;
    const [now, before] = [attributes.object, attributes.oldObject] as CertificateSigningRequest[];
    const failed = (csr: CertificateSigningRequest | undefined) =>
      JSON.stringify((csr?.status?.conditions ?? []).filter((condition) => condition.type === "Failed"));
    const signs = (now?.status?.certificate ?? "") !== (before?.status?.certificate ?? "");
    if (!signs && failed(now) === failed(before)) return;
    await requireSigner(attributes, env, "sign");
  },
};

async function requireSigner(
  attributes: AdmissionAttributes,
  env: AdmissionEnvironment,
  verb: "approve" | "sign",
): Promise<void> {
  const signer = (attributes.oldObject as CertificateSigningRequest).spec.signerName;
  // A grant may name one signer, or all of its domain.
  for (const name of [signer, `${signer.split("/")[0] ?? ""}/*`]) {
    const decision = await env.authorizer.authorize({
      kind: "resource",
      user: attributes.user,
      verb,
      apiGroup: "certificates.k8s.io",
      apiVersion: "*",
      resource: "signers",
      subresource: "",
      namespace: "",
      name,
    });
    if (decision.verdict === "allowed") return;
  }
  throw admissionForbidden(
    attributes,
    `user not permitted to ${verb} requests with signerName ${JSON.stringify(signer)}`,
  );
}

export const certificateSubjectRestriction: AdmissionPlugin = {
  name: "CertificateSubjectRestriction",
  validate(attributes) {
    if (attributes.operation !== "CREATE" || !isFor(attributes, csrs)) return;
    const { spec } = attributes.object as CertificateSigningRequest;
    if (spec.signerName !== API_CLIENT_SIGNER) return;
    const subject = requestSubject(spec.request);
    if (subject === undefined) throw admissionForbidden(attributes, "failed to parse CSR");
    if (!subject.organizations.includes(SYSTEM_MASTERS)) return;
    throw admissionForbidden(
      attributes,
      `use of ${API_CLIENT_SIGNER} signer with ${SYSTEM_MASTERS} group is not allowed`,
    );
  },
};
