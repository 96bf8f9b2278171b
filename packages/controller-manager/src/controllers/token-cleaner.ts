/**
 * Removes bootstrap tokens that have expired. Inputs: Secrets of that type. Writes: deletions.
 */
import { core } from "@knarr/api/generated/resources.ts";
import { keyOf } from "@knarr/apimachinery/object.ts";
import { keyString, parseKeyString } from "@knarr/apimachinery/resource.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import { after, done, type Result } from "@knarr/controller/reconcile-loop.ts";
import { type Controller, makeQueue, needs, runLoop } from "../controller-context.ts";
import { BOOTSTRAP_TOKEN, tokenLeftMs } from "../core/token-plans.ts";

/** Timers end at 24 days; tokens may live for longer. */
const LOOK_AGAIN_MS = 12 * 3_600_000;

export const tokenCleanerController: Controller = {
  name: "token-cleaner-controller",
  aliases: ["tokencleaner"],
  serviceAccount: "token-cleaner",
  offByDefault: true,
  start: async (context) => {
    const { client, clock, informers } = context;
    const queue = makeQueue(context);
    const secrets = informers.informer(core.secrets, {
      namespace: "kube-system",
      fieldSelector: `type=${BOOTSTRAP_TOKEN}`,
    });
    secrets.subscribe({
      added: (secret) => queue.add(keyString(keyOf(secret))),
      updated: (_old, secret) => queue.add(keyString(keyOf(secret))),
    });
    const reconcile = async (key: string, signal: AbortSignal): Promise<Result> => {
      const secret = secrets.get(parseKeyString(key));
      if (secret === undefined) return done;
      const leftMs = tokenLeftMs(secret, clock.now());
      if (leftMs === undefined) return done;
      if (leftMs > 0) return after(Math.min(leftMs, LOOK_AGAIN_MS));
      try {
        const { uid, resourceVersion } = secret.metadata;
        await client.delete(core.secrets, keyOf(secret), { preconditions: { uid, resourceVersion }, signal });
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
      return done;
    };
    return (signal) => runLoop(context, { queue, workers: 1, needs: needs(secrets), reconcile }, signal);
  },
};
