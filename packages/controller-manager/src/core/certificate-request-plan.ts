/**
 * CertificateSigningRequests: what each of the cluster's signers demands, who is approved without being asked, and when
 * a request has served its time. Pure.
 * Source: kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests, kubernetes/pkg/apis/certificates/helpers.go
 */
import type {
  CertificateSigningRequest,
  CertificateSigningRequestCondition,
} from "@knarr/api/generated/types/certificates-v1.ts";

export const APISERVER_CLIENT = "kubernetes.io/kube-apiserver-client";
export const KUBELET_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet";
export const KUBELET_SERVING = "kubernetes.io/kubelet-serving";
export const LEGACY_UNKNOWN = "kubernetes.io/legacy-unknown";

/** What a PKCS#10 request says. */
export interface RequestContent {
  readonly commonName: string;
  readonly organizations: readonly string[];
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
  readonly emails: readonly string[];
  readonly uris: readonly string[];
}

export function conditionOf(
  csr: CertificateSigningRequest,
  type: string,
): CertificateSigningRequestCondition | undefined {
  return csr.status?.conditions?.find((condition) => condition.type === type);
}

const NODE_PREFIX = "system:node:";
const NODES = "system:nodes";
const OPTIONAL_USAGES = ["digital signature", "key encipherment"] as const;

/** Why a signer refuses the request for good; undefined when it signs. */
export function whyNotSigned(
  signerName: string,
  content: RequestContent,
  usages: readonly string[],
): string | undefined {
  switch (signerName) {
    case KUBELET_SERVING:
      return whyNotKubeletServing(content, usages);
    case KUBELET_CLIENT:
      return whyNotKubeletClient(content, usages);
    case APISERVER_CLIENT:
      return whyNotClientUsages(usages);
    default:
      return undefined;
  }
}

function whyNotKubeletClient(content: RequestContent, usages: readonly string[]): string | undefined {
  if (content.organizations.length !== 1 || content.organizations[0] !== NODES) {
    return "subject organization is not system:nodes";
  }
  if (content.dnsNames.length > 0) return "DNS subjectAltNames are not allowed";
  if (content.emails.length > 0) return "Email subjectAltNames are not allowed";
  if (content.ipAddresses.length > 0) return "IP subjectAltNames are not allowed";
  if (content.uris.length > 0) return "URI subjectAltNames are not allowed";
  if (!content.commonName.startsWith(NODE_PREFIX)) return "subject common name does not begin with system:node: ";
  return whyNotUsages(usages, "client auth");
}

function whyNotKubeletServing(content: RequestContent, usages: readonly string[]): string | undefined {
  if (content.organizations.length !== 1 || content.organizations[0] !== NODES) {
    return "subject organization is not system:nodes";
  }
  if (content.dnsNames.length + content.ipAddresses.length === 0) return "DNS or IP subjectAltName is required";
  if (content.emails.length > 0) return "Email subjectAltNames are not allowed";
  if (content.uris.length > 0) return "URI subjectAltNames are not allowed";
  if (!content.commonName.startsWith(NODE_PREFIX)) return "subject common name does not begin with system:node: ";
  return whyNotUsages(usages, "server auth");
}

/** Keys that can't encipher (ECDSA) ask for one usage less. */
function whyNotUsages(usages: readonly string[], auth: "client auth" | "server auth"): string | undefined {
  const got = [...new Set(usages)].sort();
  const alternatives = [
    ["digital signature", "key encipherment", auth],
    ["digital signature", auth],
  ].map((wanted) => wanted.toSorted());
  if (alternatives.some((wanted) => wanted.join() === got.join())) return undefined;
  return `usages did not match [${alternatives[0]?.join(" ")}]`;
}

function whyNotClientUsages(usages: readonly string[]): string | undefined {
  const allowed: readonly string[] = ["client auth", ...OPTIONAL_USAGES];
  const wrong = usages.find((usage) => !allowed.includes(usage));
  if (wrong !== undefined) return `invalid usage for client certificate: ${wrong}`;
  return usages.includes("client auth") ? undefined : "missing required usage for client certificate: client auth";
}

/** A request that is approved when its author has the right to `subresource` of certificatesigningrequests. */
export interface Approval {
  readonly subresource: "selfnodeclient" | "nodeclient";
  readonly message: string;
}

/** The ways in which a request for a kubelet's client certificate may be approved, the narrower first. */
export function approvalsFor(csr: CertificateSigningRequest, content: RequestContent): readonly Approval[] {
  if (csr.spec.signerName !== KUBELET_CLIENT) return [];
  if (whyNotKubeletClient(content, csr.spec.usages ?? []) !== undefined) return [];
  const node: Approval = {
    subresource: "nodeclient",
    message: "Auto approving kubelet client certificate after SubjectAccessReview.",
  };
  if (content.commonName !== csr.spec.username) return [node];
  const message = "Auto approving self kubelet client certificate after SubjectAccessReview.";
  return [{ subresource: "selfnodeclient", message }, node];
}

const HOUR_MS = 3_600_000;
const PENDING_MS = 24 * HOUR_MS;

/** Whether the request may be removed; `expiresMs` is its certificate's end, where it has one. Source: pkg/controller/certificates/cleaner */
export function isRequestOver(csr: CertificateSigningRequest, expiresMs: number | undefined, nowMs: number): boolean {
  const since = (time: string | undefined) => nowMs - Date.parse(time ?? csr.metadata.creationTimestamp ?? "");
  const conditions = csr.status?.conditions ?? [];
  const hasCertificate = (csr.status?.certificate ?? "") !== "";
  const isApproved = conditions.some(({ type }) => type === "Approved");
  if (isApproved && hasCertificate && expiresMs !== undefined && expiresMs < nowMs) return true;
  for (const { type, lastUpdateTime } of conditions) {
    if (type === "Approved" && hasCertificate && since(lastUpdateTime) > HOUR_MS) return true;
    if ((type === "Denied" || type === "Failed") && since(lastUpdateTime) > HOUR_MS) return true;
  }
  return conditions.length === 0 && !hasCertificate && since(undefined) > PENDING_MS;
}

/** How long a certificate lives: what was asked for, at least ten minutes, at most what the signer gives. */
export function certificateTtlMs(expirationSeconds: number | undefined, maximumMs: number): number {
  if (expirationSeconds === undefined) return maximumMs;
  return Math.min(Math.max(expirationSeconds * 1000, 600_000), maximumMs);
}
