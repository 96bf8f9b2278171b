/**
 * Claims in use by a pod stay until the pod is gone. Inputs: claims, Pods. Writes: the claims' finalizers.
 */
import { core } from "@knarr/api/generated/resources.ts";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { keyOf } from "@knarr/apimachinery/object.ts";
import { keyString, parseKeyString } from "@knarr/apimachinery/resource.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import { listAll } from "@knarr/client/list-all.ts";
import { done, type Result } from "@knarr/controller/reconcile-loop.ts";
import { type Controller, makeQueue, needs, runLoop } from "../controller-context.ts";
import { CLAIM_FINALIZER, isClaimUsed, planProtection, withFinalizer } from "../core/volume-protection-plan.ts";
import { BY_CLAIM, claimsOfPod } from "./pods-by-claim.ts";

export const persistentVolumeClaimProtectionController: Controller = {
  name: "persistentvolumeclaim-protection-controller",
  aliases: ["pvc-protection"],
  serviceAccount: "pvc-protection-controller",
  start: async (context) => {
    const { client, informers } = context;
    const queue = makeQueue(context);
    const claims = informers.informer(core.persistentvolumeclaims);
    const pods = informers.informer(core.pods, { indexers: { [BY_CLAIM]: claimsOfPod } });
    claims.subscribe({
      added: (claim) => queue.add(keyString(keyOf(claim))),
      updated: (_old, claim) => queue.add(keyString(keyOf(claim))),
    });
    const enqueue = (pod: Pod) => {
      for (const key of claimsOfPod(pod)) queue.add(key);
    };
    pods.subscribe({ deleted: enqueue, updated: (_old, pod) => enqueue(pod) });
    const reconcile = async (key: string, signal: AbortSignal): Promise<Result> => {
      const claim = claims.get(parseKeyString(key));
      if (claim === undefined) return done;
      const plan = planProtection(claim, CLAIM_FINALIZER, () => isClaimUsed(claim, pods.byIndex(BY_CLAIM, key)));
      if (plan === "keep") return done;
      if (plan === "release") {
        // The last look is at the server: a pod that the cache doesn't show yet would lose its data.
        const namespace = claim.metadata.namespace ?? "";
        const { items } = await listAll(client, core.pods, { namespace, signal });
        if (isClaimUsed(claim, items)) return done;
      }
      try {
        await client.update(core.persistentvolumeclaims, withFinalizer(claim, CLAIM_FINALIZER, plan), { signal });
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
      return done;
    };
    return (signal) => runLoop(context, { queue, workers: 2, needs: needs(claims, pods), reconcile }, signal);
  },
};
