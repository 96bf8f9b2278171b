/**
 * Removes CertificateSigningRequests that have served their time: pending for a day, decided an hour ago, or expired.
 * Inputs: CertificateSigningRequests, looked at once an hour. Writes: deletions.
 */
import { certificates } from "@knarr/api/generated/resources.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import { after, done, type Result } from "@knarr/controller/reconcile-loop.ts";
import { certificateEndMs } from "../adapters/certificate-authority.ts";
import { type Controller, makeQueue, needs, runLoop } from "../controller-context.ts";
import { isRequestOver } from "../core/certificate-request-plan.ts";

const PERIOD_MS = 3_600_000;

export const csrCleanerController: Controller = {
  name: "certificatesigningrequest-cleaner-controller",
  aliases: ["csrcleaner"],
  serviceAccount: "certificate-controller",
  start: async (context) => {
    const { client, clock } = context;
    const queue = makeQueue(context);
    const requests = context.informers.informer(certificates.certificatesigningrequests);
    requests.subscribe({ added: ({ metadata }) => queue.add(metadata.name ?? "") });
    const reconcile = async (name: string, signal: AbortSignal): Promise<Result> => {
      const csr = requests.get({ namespace: "", name });
      if (csr === undefined) return done;
      const certificate = Buffer.from(csr.status?.certificate ?? "", "base64").toString();
      const endMs = certificate === "" ? undefined : certificateEndMs(certificate);
      if (!isRequestOver(csr, endMs, clock.now())) return after(PERIOD_MS);
      try {
        const preconditions = { uid: csr.metadata.uid };
        await client.delete(
          certificates.certificatesigningrequests,
          { namespace: "", name },
          { preconditions, signal },
        );
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
      return done;
    };
    return (signal) => runLoop(context, { queue, workers: 1, needs: needs(requests), reconcile }, signal);
  },
};
