/**
 * Claims for the generic ephemeral volumes of pods; they go with their pod. Inputs: Pods, claims. Writes: claims, Events.
 * Source: KEP-1698, kubernetes/pkg/controller/volume/ephemeral
 */
import { core } from "@knarr/api/generated/resources.ts";
import type { PersistentVolumeClaim, Pod, Volume } from "@knarr/api/generated/types/core-v1.ts";
import { keyOf } from "@knarr/apimachinery/object.ts";
import { keyString, parseKeyString } from "@knarr/apimachinery/resource.ts";
import { isAlreadyExists } from "@knarr/apimachinery/status-error.ts";
import { after, done, type Result } from "@knarr/controller/reconcile-loop.ts";
import { type Controller, makeQueue, makeRecorder, needs, runLoop } from "../controller-context.ts";
import { controllerRef } from "../core/claim-plan.ts";
import { isOwnedBy } from "../core/volume-protection-plan.ts";
import { isNamespaceTerminating } from "./pod-control.ts";
import { BY_CLAIM, claimsOfPod } from "./pods-by-claim.ts";

const CACHE_BEHIND_MS = 1000;

export const ephemeralVolumeController: Controller = {
  name: "ephemeral-volume-controller",
  aliases: ["ephemeral-volume"],
  start: async (context) => {
    const { client, informers, config } = context;
    const queue = makeQueue(context);
    const events = makeRecorder(context, "ephemeral_volume");
    const claims = informers.informer(core.persistentvolumeclaims);
    const pods = informers.informer(core.pods, { indexers: { [BY_CLAIM]: claimsOfPod } });
    const hasEphemeral = ({ spec }: Pod) => (spec?.volumes ?? []).some(({ ephemeral }) => ephemeral !== undefined);
    const enqueue = (pod: Pod) => {
      if (hasEphemeral(pod)) queue.add(keyString(keyOf(pod)));
    };
    pods.subscribe({ added: enqueue, updated: (_old, pod) => enqueue(pod) });
    claims.subscribe({
      deleted: (claim) => {
        for (const pod of pods.byIndex(BY_CLAIM, keyString(keyOf(claim)))) enqueue(pod);
      },
    });
    const reconcile = async (key: string, signal: AbortSignal): Promise<Result> => {
      const pod = pods.get(parseKeyString(key));
      if (pod === undefined || pod.metadata.deletionTimestamp !== undefined) return done;
      for (const volume of pod.spec?.volumes ?? []) {
        if (volume.ephemeral === undefined) continue;
        const claim = claimFor(pod, volume);
        const existing = claims.get(keyOf(claim));
        if (existing === undefined) {
          try {
            await client.create(core.persistentvolumeclaims, claim, { signal });
          } catch (error) {
            if (isNamespaceTerminating(error)) return done;
            // Whose it is shows as soon as the cache has it.
            if (isAlreadyExists(error)) return after(CACHE_BEHIND_MS);
            throw error;
          }
        } else if (!isOwnedBy(existing, pod)) {
          const { namespace, name } = pod.metadata;
          const why = `PVC ${namespace}/${claim.metadata.name} was not created for pod ${namespace}/${name} (pod is not owner)`;
          events.event(pod, "Warning", "FailedBinding", `ephemeral volume ${volume.name}: ${why}`);
          throw new Error(why);
        }
      }
      return done;
    };
    const workers = config.concurrentEphemeralvolumeSyncs;
    return (signal) => runLoop(context, { queue, workers, needs: needs(claims, pods), reconcile }, signal);
  },
};

function claimFor(pod: Pod, { name, ephemeral }: Volume): PersistentVolumeClaim {
  const template = ephemeral?.volumeClaimTemplate;
  return {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: {
      namespace: pod.metadata.namespace,
      name: `${pod.metadata.name}-${name}`,
      labels: template?.metadata?.labels,
      annotations: template?.metadata?.annotations,
      ownerReferences: [controllerRef({ ...pod, apiVersion: "v1", kind: "Pod" })],
    },
    ...(template?.spec === undefined ? {} : { spec: template.spec }),
  };
}
