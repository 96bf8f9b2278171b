/**
 * Volumes bound to a claim stay until they are released. Inputs: volumes. Writes: their finalizers.
 */
import { core } from "@knarr/api/generated/resources.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import { done, type Result } from "@knarr/controller/reconcile-loop.ts";
import { type Controller, makeQueue, needs, runLoop } from "../controller-context.ts";
import { isVolumeUsed, planProtection, VOLUME_FINALIZER, withFinalizer } from "../core/volume-protection-plan.ts";

export const persistentVolumeProtectionController: Controller = {
  name: "persistentvolume-protection-controller",
  aliases: ["pv-protection"],
  serviceAccount: "pv-protection-controller",
  start: async (context) => {
    const { client, informers } = context;
    const queue = makeQueue(context);
    const volumes = informers.informer(core.persistentvolumes);
    volumes.subscribe({
      added: ({ metadata }) => queue.add(metadata.name ?? ""),
      updated: (_old, { metadata }) => queue.add(metadata.name ?? ""),
    });
    const reconcile = async (name: string, signal: AbortSignal): Promise<Result> => {
      const volume = volumes.get({ namespace: "", name });
      if (volume === undefined) return done;
      const plan = planProtection(volume, VOLUME_FINALIZER, () => isVolumeUsed(volume));
      if (plan === "keep") return done;
      try {
        await client.update(core.persistentvolumes, withFinalizer(volume, VOLUME_FINALIZER, plan), { signal });
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
      return done;
    };
    return (signal) => runLoop(context, { queue, workers: 1, needs: needs(volumes), reconcile }, signal);
  },
};
