/**
 * ConfigMaps, Secrets, Services, tokens and runtime classes that pods refer to. Each ConfigMap and Secret in use is watched
 * by its name, which is all that the Node authoriser lets a kubelet see; a change wakes the pods that use it.
 */
import { core, node } from "@knarr/api/generated/resources.ts";
import type {
  ConfigMap,
  Node,
  PersistentVolume,
  PersistentVolumeClaim,
  Pod,
  Secret,
  Service,
} from "@knarr/api/generated/types/core-v1.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import type { ResourceRef } from "@knarr/apimachinery/resource.ts";
import type { Client } from "@knarr/client/client.ts";
import { Informer } from "@knarr/client/informer.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import type { ApiObjects, PullSecrets } from "./pod-context.ts";
import { TokenCache } from "./token-cache.ts";

export interface ApiObjectsOptions {
  readonly client: Client;
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
  readonly services: Informer<Service>;
  /** This node. */
  readonly node: () => Node | undefined;
  readonly onChange: (podUid: string) => void;
}

interface Watched {
  readonly informer: Informer<KubeObject>;
  readonly stop: AbortController;
  readonly pods: Set<string>;
}

/** How long a pod's start waits for the first answer about an object. */
const FIRST_ANSWER_MS = 10_000;

export class CachedApiObjects implements ApiObjects {
  readonly #options: ApiObjectsOptions;
  readonly #watched = new Map<string, Watched>();
  readonly #tokens: TokenCache;
  /** Bound claims by pod and name: to the pods that have them they are settled. */
  readonly #claims = new Map<string, PersistentVolumeClaim>();
  readonly #volumes = new Map<string, PersistentVolume>();

  constructor(options: ApiObjectsOptions) {
    this.#options = options;
    this.#tokens = new TokenCache(options.client, options.clock);
  }

  services() {
    const { services } = this.#options;
    return { synced: services.synced, items: services.list() };
  }

  configMap(pod: Pod, name: string): Promise<ConfigMap | undefined> {
    return this.#get(core.configmaps, pod, name);
  }

  secret(pod: Pod, name: string): Promise<Secret | undefined> {
    return this.#get(core.secrets, pod, name);
  }

  async pullSecrets(pod: Pod): Promise<PullSecrets> {
    const names = (pod.spec?.imagePullSecrets ?? []).map((s) => s.name ?? "").filter((name) => name !== "");
    // A pull secret that can't be had is no reason not to try without it: whoever asks tells of it.
    const found = await Promise.all(names.map((name) => this.secret(pod, name).catch(() => undefined)));
    return {
      secrets: found.filter((s) => s !== undefined),
      missing: names.filter((_, i) => found[i] === undefined),
    };
  }

  serviceAccountToken(pod: Pod, audience: string, expirationSeconds: number): Promise<string> {
    return this.#tokens.token(pod, audience, expirationSeconds);
  }

  async claim(pod: Pod, name: string): Promise<PersistentVolumeClaim> {
    const id = `${pod.metadata.uid}/${name}`;
    const settled = this.#claims.get(id);
    if (settled !== undefined) return settled;
    const key = { namespace: pod.metadata.namespace ?? "", name };
    const claim = await this.#options.client.get(core.persistentvolumeclaims, key, { signal: this.#deadline() });
    if (claim.status?.phase === "Bound" && claim.metadata.deletionTimestamp === undefined) this.#claims.set(id, claim);
    return claim;
  }

  async persistentVolume(pod: Pod, name: string): Promise<PersistentVolume> {
    const id = `${pod.metadata.uid}/${name}`;
    const settled = this.#volumes.get(id);
    if (settled !== undefined) return settled;
    const key = { namespace: "", name };
    const volume = await this.#options.client.get(core.persistentvolumes, key, { signal: this.#deadline() });
    if (volume.spec?.claimRef?.uid !== undefined) this.#volumes.set(id, volume);
    return volume;
  }

  node(): Node | undefined {
    return this.#options.node();
  }

  async runtimeHandler(name: string): Promise<string> {
    return (await this.#options.client.get(node.runtimeclasses, { namespace: "", name }, { signal: this.#deadline() }))
      .handler;
  }

  /** A pod is gone: what only it used is watched no more. */
  release(podUid: string): void {
    this.#tokens.forget(podUid);
    for (const settled of [this.#claims, this.#volumes]) {
      for (const id of settled.keys()) if (id.startsWith(`${podUid}/`)) settled.delete(id);
    }
    for (const [id, watched] of this.#watched) {
      if (!watched.pods.delete(podUid) || watched.pods.size > 0) continue;
      watched.stop.abort();
      this.#watched.delete(id);
    }
  }

  async #get<T extends KubeObject>(ref: ResourceRef<T>, pod: Pod, name: string): Promise<T | undefined> {
    const namespace = pod.metadata.namespace ?? "";
    const id = `${ref.resource}/${namespace}/${name}`;
    const watched = this.#watched.get(id) ?? this.#watch(ref, namespace, name, id);
    watched.pods.add(pod.metadata.uid ?? "");
    try {
      await watched.informer.waitForSync(this.#deadline());
    } catch (error) {
      throw new Error(`failed to sync ${ref.kind.toLowerCase()} cache: timed out waiting for the condition`, {
        cause: error,
      });
    }
    return watched.informer.get({ namespace, name }) as T | undefined;
  }

  #deadline(): AbortSignal {
    return AbortSignal.any([this.#options.signal, AbortSignal.timeout(FIRST_ANSWER_MS)]);
  }

  #watch<T extends KubeObject>(ref: ResourceRef<T>, namespace: string, name: string, id: string): Watched {
    const { client, clock, log, onChange } = this.#options;
    const fieldSelector = `metadata.name=${name}`;
    const informer = new Informer<T>(client, ref, { namespace, fieldSelector, clock, log });
    const watched: Watched = {
      informer: informer as unknown as Informer<KubeObject>,
      stop: new AbortController(),
      pods: new Set(),
    };
    this.#watched.set(id, watched);
    const tell = () => {
      if (informer.synced) for (const uid of watched.pods) onChange(uid);
    };
    informer.subscribe({ added: tell, updated: tell, deleted: tell });
    const signal = AbortSignal.any([this.#options.signal, watched.stop.signal]);
    informer.run(signal).catch((error: unknown) => {
      if (!signal.aborted) log.error({ err: error, object: id }, "watch of an object in use ended");
    });
    return watched;
  }
}

/** For a kubelet without API server: static pods refer to nothing. */
export const noApiObjects: ApiObjects = {
  services: () => ({ synced: true, items: [] }),
  configMap: async () => undefined,
  secret: async () => undefined,
  pullSecrets: async (pod) => ({ secrets: [], missing: (pod.spec?.imagePullSecrets ?? []).map((s) => s.name ?? "") }),
  claim: () => Promise.reject(new Error("there is no API server to ask for a claim")),
  persistentVolume: () => Promise.reject(new Error("there is no API server to ask for a volume")),
  node: () => undefined,
  serviceAccountToken: () => Promise.reject(new Error("there is no API server to ask for a token")),
  runtimeHandler: (name) =>
    Promise.reject(new Error(`RuntimeClass ${JSON.stringify(name)} can't be looked up without an API server`)),
};
