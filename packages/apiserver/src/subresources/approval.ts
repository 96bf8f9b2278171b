/**
 * certificatesigningrequests/NAME/approval: only the conditions may change.
 * Source: k8s.io/kubernetes/pkg/registry/certificates/certificates/strategy.go (csrApprovalStrategy)
 */
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import type { ResourceRequest } from "../verbs/environment.ts";
import { getObject } from "../verbs/get.ts";
import { patch } from "../verbs/patch.ts";
import { update } from "../verbs/update.ts";

type Handler = (request: ResourceRequest) => Promise<void>;

export const approval: Readonly<Record<string, Handler>> = {
  get: getObject,
  update: checked(update),
  patch: checked(patch),
};

/** Approving takes, besides the verb on the subresource, the verb approve on the signer. */
function checked(handler: Handler): Handler {
  return async (request) => {
    const { env, user } = request;
    const key = { namespace: "", name: request.name };
    const { ref } = request.resource.descriptor;
    const csr = (await env.lookup.get(ref, key, { live: true })) as
      | (KubeObject & { spec?: { signerName?: string } })
      | undefined;
    if (csr === undefined) throw statusErrors.notFound(ref, request.name);
    const signer = csr.spec?.signerName ?? "";
    const ask = (name: string) =>
      env.authorizer.authorize({
        kind: "resource",
        user,
        verb: "approve",
        apiGroup: "certificates.k8s.io",
        apiVersion: "v1",
        resource: "signers",
        subresource: "",
        namespace: "",
        name,
      }).verdict === "allowed";
    const domain = `${signer.split("/")[0] ?? ""}/*`;
    if (!ask(signer) && !ask(domain)) {
      throw statusErrors.forbidden(
        ref,
        request.name,
        `user not permitted to approve requests with signerName ${JSON.stringify(signer)}`,
      );
    }
    await handler(request);
  };
}
