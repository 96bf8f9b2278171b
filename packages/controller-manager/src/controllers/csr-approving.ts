/**
 * Approves requests of kubelets for their client certificates, where a SubjectAccessReview says that they may have them.
 * Inputs: CertificateSigningRequests. Writes: their approval.
 */
import { authorization, certificates } from "@knarr/api/generated/resources.ts";
import type { CertificateSigningRequest } from "@knarr/api/generated/types/certificates-v1.ts";
import { rfc3339Seconds } from "@knarr/apimachinery/time.ts";
import { after, done, type Result } from "@knarr/controller/reconcile-loop.ts";
import { contentOf, parseRequest } from "../adapters/certificate-authority.ts";
import { type Controller, type ControllerContext, makeQueue, needs, runLoop } from "../controller-context.ts";
import { type Approval, approvalsFor, conditionOf } from "../core/certificate-request-plan.ts";

/** The right may be given a little later than the request is made. */
const RETRY_MS = 30_000;

export const csrApprovingController: Controller = {
  name: "certificatesigningrequest-approving-controller",
  aliases: ["csrapproving"],
  serviceAccount: "certificate-controller",
  start: async (context) => {
    const { client, clock, informers } = context;
    const queue = makeQueue(context);
    const requests = informers.informer(certificates.certificatesigningrequests);
    requests.subscribe({
      added: ({ metadata }) => queue.add(metadata.name ?? ""),
      updated: (_old, { metadata }) => queue.add(metadata.name ?? ""),
    });
    const reconcile = async (name: string, signal: AbortSignal): Promise<Result> => {
      const csr = requests.get({ namespace: "", name });
      if (csr === undefined || (csr.status?.certificate ?? "") !== "") return done;
      if (conditionOf(csr, "Approved") !== undefined || conditionOf(csr, "Denied") !== undefined) return done;
      let approvals: readonly Approval[];
      try {
        const request = await parseRequest(Buffer.from(csr.spec.request, "base64").toString());
        approvals = approvalsFor(csr, contentOf(request));
      } catch (error) {
        context.log.warn({ csr: name, err: error }, "the request can't be read");
        return done;
      }
      for (const approval of approvals) {
        if (!(await mayHave(context, csr, approval, signal))) continue;
        const now = rfc3339Seconds(clock.now());
        const approved = {
          type: "Approved",
          status: "True",
          reason: "AutoApproved",
          message: approval.message,
          lastUpdateTime: now,
          lastTransitionTime: now,
        };
        const conditions = [...(csr.status?.conditions ?? []), approved];
        const next = { ...csr, status: { ...csr.status, conditions } };
        await client.update(certificates.certificatesigningrequests, next, { subresource: "approval", signal });
        return done;
      }
      return approvals.length > 0 ? after(RETRY_MS) : done;
    };
    return (signal) => runLoop(context, { queue, workers: 5, needs: needs(requests), reconcile }, signal);
  },
};

async function mayHave(
  { client }: ControllerContext,
  { spec }: CertificateSigningRequest,
  { subresource }: Approval,
  signal: AbortSignal,
): Promise<boolean> {
  const review = await client.create(
    authorization.subjectaccessreviews,
    {
      apiVersion: "authorization.k8s.io/v1",
      kind: "SubjectAccessReview",
      metadata: {},
      spec: {
        user: spec.username,
        uid: spec.uid,
        groups: spec.groups,
        extra: spec.extra,
        resourceAttributes: {
          group: "certificates.k8s.io",
          resource: "certificatesigningrequests",
          verb: "create",
          subresource,
          version: "*",
        },
      },
    },
    { signal },
  );
  return review.status?.allowed === true;
}
