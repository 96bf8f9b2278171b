/**
 * Says of claims that want to grow that somebody else makes them grow: there are no volume drivers in here, and a CSI
 * driver comes with its own resizer. Inputs: claims, volumes. Writes: Events.
 * Source: kubernetes/pkg/controller/volume/expand
 */
import { core } from "@knarr/api/generated/resources.ts";
import type { PersistentVolumeClaim } from "@knarr/api/generated/types/core-v1.ts";
import { keyOf } from "@knarr/apimachinery/object.ts";
import { compareQuantities } from "@knarr/apimachinery/quantity.ts";
import { keyString, parseKeyString } from "@knarr/apimachinery/resource.ts";
import { done, type Result } from "@knarr/controller/reconcile-loop.ts";
import { type Controller, makeQueue, makeRecorder, needs, runLoop } from "../controller-context.ts";

export const persistentVolumeExpanderController: Controller = {
  name: "persistentvolume-expander-controller",
  aliases: ["persistentvolume-expander"],
  serviceAccount: "expand-controller",
  start: async (context) => {
    const queue = makeQueue(context);
    const events = makeRecorder(context, "volume_expand");
    const claims = context.informers.informer(core.persistentvolumeclaims);
    const volumes = context.informers.informer(core.persistentvolumes);
    const wanted = ({ spec }: PersistentVolumeClaim) => spec?.resources?.requests?.storage ?? "0";
    const size = ({ status }: PersistentVolumeClaim) => status?.capacity?.storage ?? "0";
    const enqueue = (claim: PersistentVolumeClaim) => {
      if (claim.status?.phase !== "Bound" || claim.status.capacity === undefined) return;
      if (compareQuantities(wanted(claim), size(claim)) > 0) queue.add(keyString(keyOf(claim)));
    };
    claims.subscribe({
      added: enqueue,
      updated: (old, claim) => {
        const grew = compareQuantities(wanted(claim), wanted(old)) > 0 || old.status?.phase !== claim.status?.phase;
        if (grew) enqueue(claim);
      },
    });
    const reconcile = async (key: string): Promise<Result> => {
      const claim = claims.get(parseKeyString(key));
      if (claim === undefined) return done;
      const volume = volumes.get({ namespace: "", name: claim.spec?.volumeName ?? "" });
      if (volume === undefined || volume.spec?.claimRef?.uid !== claim.metadata.uid) return done;
      const type = volume.spec?.csi === undefined ? "Warning" : "Normal";
      events.event(claim, type, "ExternalExpanding", "waiting for an external controller to expand this PVC");
      return done;
    };
    return (signal) => runLoop(context, { queue, workers: 1, needs: needs(claims, volumes), reconcile }, signal);
  },
};
