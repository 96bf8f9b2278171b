/**
 * Marks, and later removes, ServiceAccount tokens that were made unasked and that nobody uses any more.
 * Inputs: Secrets of that type, ServiceAccounts, Pods, the API server's ConfigMap that says since when use is tracked.
 * Writes: Secrets. Source: KEP-2799
 */
import { core } from "@knarr/api/generated/resources.ts";
import type { Secret } from "@knarr/api/generated/types/core-v1.ts";
import { keyOf } from "@knarr/apimachinery/object.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import { after, type Result } from "@knarr/controller/reconcile-loop.ts";
import { type Controller, type ControllerContext, makeQueue, needs, runLoop } from "../controller-context.ts";
import { ACCOUNT_NAME, INVALID_SINCE_LABEL, planLegacyToken, SERVICE_ACCOUNT_TOKEN } from "../core/token-plans.ts";

const DAY_MS = 86_400_000;
const TRACKING = { namespace: "kube-system", name: "kube-apiserver-legacy-service-account-token-tracking" };
const EVERYTHING = "all";

export const legacyServiceAccountTokenCleanerController: Controller = {
  name: "legacy-serviceaccount-token-cleaner-controller",
  aliases: ["legacy-service-account-token-cleaner"],
  serviceAccount: "legacy-service-account-token-cleaner",
  start: async (context) => {
    const { client, clock, config, informers } = context;
    const queue = makeQueue(context);
    const secrets = informers.informer(core.secrets, { fieldSelector: `type=${SERVICE_ACCOUNT_TOKEN}` });
    const accounts = informers.informer(core.serviceaccounts);
    const pods = informers.informer(core.pods);
    const reconcile = async (_key: string, signal: AbortSignal): Promise<Result> => {
      const trackedSince = await trackingStart(context, signal);
      if (trackedSince === undefined) return after(DAY_MS);
      const nowMs = clock.now();
      for (const secret of secrets.list()) {
        const { namespace = "", name = "", annotations } = secret.metadata;
        const account = accounts.get({ namespace, name: annotations?.[ACCOUNT_NAME] ?? "" });
        const plan = planLegacyToken(secret, {
          isListed: account?.secrets?.some((reference) => reference.name === name) === true,
          isMounted: pods.list(namespace).some(({ spec }) => {
            return spec?.volumes?.some((volume) => volume.secret?.secretName === name) === true;
          }),
          trackedSince,
          unusedMs: config.legacyServiceAccountTokenCleanUpPeriodMs,
          nowMs,
        });
        const today = new Date(nowMs).toISOString().slice(0, 10);
        if (plan === "delete") await remove(context, secret, signal);
        if (plan === "mark" || plan === "unmark") {
          const labels = { [INVALID_SINCE_LABEL]: plan === "mark" ? today : null };
          const body = { metadata: { labels, uid: secret.metadata.uid } };
          await client.patch(core.secrets, keyOf(secret), { type: "merge", body }, { signal });
        }
      }
      return after(DAY_MS);
    };
    return (signal) => {
      queue.add(EVERYTHING);
      return runLoop(context, { queue, workers: 1, needs: needs(secrets, accounts, pods), reconcile }, signal);
    };
  },
};

/** The day from which on the server has written down which tokens are used; undefined when it doesn't. */
async function trackingStart({ client }: ControllerContext, signal: AbortSignal): Promise<string | undefined> {
  try {
    return (await client.get(core.configmaps, TRACKING, { signal })).data?.since;
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

async function remove({ client }: ControllerContext, secret: Secret, signal: AbortSignal): Promise<void> {
  try {
    const { uid, resourceVersion } = secret.metadata;
    await client.delete(core.secrets, keyOf(secret), { preconditions: { uid, resourceVersion }, signal });
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}
