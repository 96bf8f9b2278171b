/**
 * Finding the objects that a controller owns, and those that it might adopt, without walking a namespace.
 */

import { controllerOf, type KubeObject } from "@knarr/apimachinery/object.ts";
import type { Informer } from "@knarr/client/informer.ts";

const INDEX = "controllerUid";

/** Pass as an informer's `indexers`. */
export const ownerIndexers = {
  [INDEX]: (object: KubeObject): readonly string[] => {
    const uid = controllerOf(object)?.uid;
    return [uid ?? `orphan/${object.metadata.namespace ?? ""}`];
  },
} as const;

/** The objects whose controller has this uid. The informer must have `ownerIndexers`. */
export function ownedBy<T extends KubeObject>(informer: Informer<T>, uid: string): readonly T[] {
  return informer.byIndex(INDEX, uid);
}

/** The objects of a namespace that no controller owns. */
export function orphansIn<T extends KubeObject>(informer: Informer<T>, namespace: string): readonly T[] {
  return informer.byIndex(INDEX, `orphan/${namespace}`);
}
