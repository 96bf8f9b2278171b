/**
 * certificatesigningrequests/NAME/approval: only the conditions may change. That the user may approve for the signer is
 * for the CertificateApproval plugin.
 * Source: k8s.io/kubernetes/pkg/registry/certificates/certificates/strategy.go (csrApprovalStrategy)
 */
import type { ResourceRequest } from "../verbs/environment.ts";
import { getObject } from "../verbs/get.ts";
import { patch } from "../verbs/patch.ts";
import { update } from "../verbs/update.ts";

export const approval: Readonly<Record<string, (request: ResourceRequest) => Promise<void>>> = {
  get: getObject,
  update,
  patch,
};
