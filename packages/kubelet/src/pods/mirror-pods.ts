/** Keeps a mirror in the API for every static pod, so that people see it; removes mirrors whose pod is gone. */
import { core } from "@knarr/api/generated/resources.ts";
import type { Node, Pod } from "@knarr/api/generated/types/core-v1.ts";
import { keyOf } from "@knarr/apimachinery/object.ts";
import { isAlreadyExists, isNotFound } from "@knarr/apimachinery/status-error.ts";
import type { Client } from "@knarr/client/client.ts";
import type { Informer } from "@knarr/client/informer.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import { isMirror, MIRROR_ANNOTATION } from "./api-source.ts";
import { HASH_ANNOTATION, mirrorOf, type StaticPods } from "./static-pods.ts";

export interface MirrorOptions {
  readonly client: Client;
  readonly pods: Informer<Pod>;
  readonly statics: StaticPods;
  readonly node: () => Node | undefined;
  readonly clock: Clock;
  readonly log: Logger;
}

const PERIOD_MS = 1000;

export async function runMirrors(options: MirrorOptions, signal: AbortSignal): Promise<void> {
  const { clock, log, pods, statics } = options;
  while (!signal.aborted) {
    try {
      if (pods.synced && statics.synced) await syncMirrors(options);
    } catch (error) {
      // The API server is away, or refuses: the static pod runs all the same, and the next round may succeed.
      log.warn({ err: error }, "mirror pods not synced");
    }
    await clock.sleep(PERIOD_MS, signal).catch(() => undefined);
  }
}

async function syncMirrors({ client, pods, statics, node }: MirrorOptions): Promise<void> {
  const wanted = new Map(statics.list().map((pod) => [`${pod.metadata.namespace}/${pod.metadata.name}`, pod]));
  for (const mirror of pods.list().filter(isMirror)) {
    const pod = wanted.get(`${mirror.metadata.namespace}/${mirror.metadata.name}`);
    const fits = pod?.metadata.annotations?.[HASH_ANNOTATION] === mirror.metadata.annotations?.[MIRROR_ANNOTATION];
    if (fits && mirror.metadata.deletionTimestamp === undefined) continue;
    const preconditions = mirror.metadata.uid === undefined ? {} : { uid: mirror.metadata.uid };
    await client.delete(core.pods, keyOf(mirror), { gracePeriodSeconds: 0, preconditions }).catch((error: unknown) => {
      if (!isNotFound(error)) throw error;
    });
  }
  const nodeUid = node()?.metadata.uid;
  if (nodeUid === undefined) return;
  for (const pod of wanted.values()) {
    if (pods.get(keyOf(pod)) !== undefined) continue;
    try {
      await client.create(core.pods, mirrorOf(pod, nodeUid));
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
    }
  }
}
