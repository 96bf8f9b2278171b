/**
 * PersistentVolumes note when their phase changed last.
 * Source: k8s.io/kubernetes/pkg/registry/core/persistentvolume/strategy.go; KEP-3762
 */
import type { PersistentVolume } from "@knarr/api/generated/types/core-v1.ts";
import { rfc3339Seconds } from "@knarr/apimachinery/time.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { ResourceHooks } from "./resource.ts";

export function persistentVolumeHooks(clock: Clock): ResourceHooks {
  return {
    beginCreate(object) {
      const volume = object as PersistentVolume;
      volume.status = { ...volume.status, lastPhaseTransitionTime: rfc3339Seconds(clock.now()) };
    },
    beginUpdate(object, old, scope) {
      if (scope.subresource !== "status") return;
      const { status } = object as PersistentVolume;
      const before = (old as PersistentVolume).status;
      if (status === undefined || status.phase === before?.phase) return;
      const named = status.lastPhaseTransitionTime;
      // Whoever changes the phase may name the time; a time that was only carried along is not meant.
      if (named === undefined || named === before?.lastPhaseTransitionTime) {
        status.lastPhaseTransitionTime = rfc3339Seconds(clock.now());
      }
    },
  };
}
