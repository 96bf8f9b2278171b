/** The pods that the API server binds to this node. */
import { core } from "@knarr/api/generated/resources.ts";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { Client } from "@knarr/client/client.ts";
import { Informer } from "@knarr/client/informer.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";

export const MIRROR_ANNOTATION = "kubernetes.io/config.mirror";

export interface PodSink {
  set(pod: Pod): void;
  remove(uid: string): void;
}

export function podInformer(client: Client, nodeName: string, clock: Clock, log: Logger): Informer<Pod> {
  return new Informer(client, core.pods, { fieldSelector: `spec.nodeName=${nodeName}`, clock, log });
}

/** Mirrors of static pods are the API's view of what the kubelet runs anyway: they are not pods to run. */
export function isMirror(pod: Pod): boolean {
  return pod.metadata.annotations?.[MIRROR_ANNOTATION] !== undefined;
}

/** Feeds the informer's pods to the sink. */
export function followPods(informer: Informer<Pod>, sink: PodSink): void {
  informer.subscribe({
    added: (pod) => {
      if (!isMirror(pod)) sink.set(pod);
    },
    updated: (old, pod) => {
      // Deleted and made again between two looks: the name is the same, the pod is not.
      if (old.metadata.uid !== pod.metadata.uid) sink.remove(old.metadata.uid ?? "");
      if (!isMirror(pod)) sink.set(pod);
    },
    deleted: (pod) => {
      if (!isMirror(pod)) sink.remove(pod.metadata.uid ?? "");
    },
  });
}
