/** A pod's claims, and claims and volumes as the scheduler has assumed them. Source: plugins/volumebinding/assume_cache.go */
import type { PersistentVolumeClaim, Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import type { Lister } from "../core/listers.ts";
import { claimNameOf } from "../core/pod-info.ts";

export type PodClaim =
  | { readonly claim: PersistentVolumeClaim; readonly refusal?: undefined }
  | { readonly refusal: string };

/** Names of the claims that other pods may use too: not those of the pod's ephemeral volumes. */
export function sharedClaims(pod: Pod): string[] {
  return (pod.spec?.volumes ?? []).flatMap(({ persistentVolumeClaim }) => persistentVolumeClaim?.claimName ?? []);
}

/** The claims behind the pod's volumes, or why one of them can't be used. Source: plugins/volumebinding (podHasPVCs) */
export function claimsOf(pod: Pod, lister: Lister<PersistentVolumeClaim>): PodClaim[] {
  const found: PodClaim[] = [];
  for (const volume of pod.spec?.volumes ?? []) {
    const name = claimNameOf(pod, volume);
    if (name === undefined) continue;
    const isEphemeral = volume.persistentVolumeClaim === undefined;
    const claim = lister.get(pod.metadata.namespace ?? "", name);
    if (claim === undefined) {
      const waiting = `waiting for ephemeral volume controller to create the persistentvolumeclaim "${name}"`;
      found.push({ refusal: isEphemeral ? waiting : `persistentvolumeclaim "${name}" not found` });
    } else if (claim.status?.phase === "Lost") {
      const volumeName = claim.spec?.volumeName ?? "";
      const refusal = `persistentvolumeclaim "${name}" bound to non-existent persistentvolume "${volumeName}"`;
      found.push({ refusal });
    } else if (claim.metadata.deletionTimestamp !== undefined) {
      found.push({ refusal: `persistentvolumeclaim "${name}" is being deleted` });
    } else if (isEphemeral && !isOwnedBy(claim, pod)) {
      const key = `${claim.metadata.namespace}/${name}`;
      found.push({
        refusal: `PVC ${key} was not created for pod ${pod.metadata.namespace}/${pod.metadata.name} (pod is not owner)`,
      });
    } else found.push({ claim });
  }
  return found;
}

function isOwnedBy(claim: PersistentVolumeClaim, pod: Pod): boolean {
  return (
    claim.metadata.ownerReferences?.some(({ controller, uid }) => controller === true && uid === pod.metadata.uid) ??
    false
  );
}

/** Objects as they will be once our writes are through; an informer's newer version always wins. */
export class AssumedObjects<T extends KubeObject> {
  readonly #lister: Lister<T>;
  readonly #assumed = new Map<string, { readonly object: T; readonly baseVersion: string | undefined }>();

  constructor(lister: Lister<T>) {
    this.#lister = lister;
  }

  get(namespace: string, name: string): T | undefined {
    return this.#current(this.#lister.get(namespace, name));
  }

  list(): readonly T[] {
    const objects = this.#lister.list();
    return this.#assumed.size === 0 ? objects : objects.map((object) => this.#current(object) ?? object);
  }

  assume(object: T): void {
    const { namespace = "", name = "" } = object.metadata;
    const base = this.#lister.get(namespace, name);
    this.#assumed.set(keyFor(object), { object, baseVersion: base?.metadata.resourceVersion });
  }

  restore(object: T): void {
    this.#assumed.delete(keyFor(object));
  }

  #current(object: T | undefined): T | undefined {
    if (object === undefined || this.#assumed.size === 0) return object;
    const assumption = this.#assumed.get(keyFor(object));
    if (assumption === undefined) return object;
    if (assumption.baseVersion === object.metadata.resourceVersion) return assumption.object;
    this.#assumed.delete(keyFor(object));
    return object;
  }
}

function keyFor({ metadata }: KubeObject): string {
  return `${metadata.namespace ?? ""}/${metadata.name ?? ""}`;
}
