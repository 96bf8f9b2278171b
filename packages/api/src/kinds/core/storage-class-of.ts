import type { ObjectMeta } from "@knarr/apimachinery/generated/meta-v1.ts";

const betaAnnotation = "volume.beta.kubernetes.io/storage-class";

/** Class of a volume or a claim; the old annotation wins. Source: core/helper GetPersistentVolumeClass */
export function storageClassOf(object: {
  readonly metadata: ObjectMeta;
  readonly spec?: { readonly storageClassName?: string };
}): string {
  return object.metadata.annotations?.[betaAnnotation] ?? object.spec?.storageClassName ?? "";
}
