/**
 * VolumeAttributesClasses in use by a claim or a volume stay until nothing uses them.
 * Inputs: those classes, claims, volumes. Writes: the classes' finalizers. Source: KEP-3751
 */
import { core, storage } from "@knarr/api/generated/resources.ts";
import type { PersistentVolume, PersistentVolumeClaim } from "@knarr/api/generated/types/core-v1.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import { listAll } from "@knarr/client/list-all.ts";
import { done, type Result } from "@knarr/controller/reconcile-loop.ts";
import { type Controller, makeQueue, needs, runLoop } from "../controller-context.ts";
import { ATTRIBUTES_FINALIZER, planProtection, withFinalizer } from "../core/volume-protection-plan.ts";

const BY_CLASS = "attributesClass";

const classesOfClaim = ({ spec, status }: PersistentVolumeClaim): readonly string[] => {
  const { modifyVolumeStatus, currentVolumeAttributesClassName } = status ?? {};
  const names = [
    spec?.volumeAttributesClassName,
    currentVolumeAttributesClassName,
    modifyVolumeStatus?.targetVolumeAttributesClassName,
  ];
  return [...new Set(names.filter((name) => name !== undefined && name !== ""))] as string[];
};
const classesOfVolume = ({ spec }: PersistentVolume): readonly string[] => {
  const name = spec?.volumeAttributesClassName ?? "";
  return name === "" ? [] : [name];
};

export const volumeAttributesClassProtectionController: Controller = {
  name: "volumeattributesclass-protection-controller",
  start: async (context) => {
    const { client, informers } = context;
    const queue = makeQueue(context);
    const classes = informers.informer(storage.volumeattributesclasses);
    const claims = informers.informer(core.persistentvolumeclaims, { indexers: { [BY_CLASS]: classesOfClaim } });
    const volumes = informers.informer(core.persistentvolumes, { indexers: { [BY_CLASS]: classesOfVolume } });
    classes.subscribe({
      added: ({ metadata }) => queue.add(metadata.name ?? ""),
      updated: (_old, { metadata }) => queue.add(metadata.name ?? ""),
    });
    const claim = (object: PersistentVolumeClaim) => {
      for (const name of classesOfClaim(object)) queue.add(name);
    };
    const volume = (object: PersistentVolume) => {
      for (const name of classesOfVolume(object)) queue.add(name);
    };
    claims.subscribe({ updated: claim, deleted: claim });
    volumes.subscribe({ updated: volume, deleted: volume });
    const reconcile = async (name: string, signal: AbortSignal): Promise<Result> => {
      const object = classes.get({ namespace: "", name });
      if (object === undefined) return done;
      const isUsed = () => claims.byIndex(BY_CLASS, name).length + volumes.byIndex(BY_CLASS, name).length > 0;
      const plan = planProtection(object, ATTRIBUTES_FINALIZER, isUsed);
      if (plan === "keep") return done;
      if (plan === "release") {
        // The last look is at the server.
        const { items } = await listAll(client, core.persistentvolumeclaims, { signal });
        if (items.some((item) => classesOfClaim(item).includes(name))) return done;
      }
      try {
        const next = withFinalizer(object, ATTRIBUTES_FINALIZER, plan);
        await client.update(storage.volumeattributesclasses, next, { signal });
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
      return done;
    };
    return (signal) =>
      runLoop(context, { queue, workers: 1, needs: needs(classes, claims, volumes), reconcile }, signal);
  },
};
