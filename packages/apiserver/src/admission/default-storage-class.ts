/**
 * Claims without a class get the default one: the newest of those marked so.
 * Source: k8s.io/kubernetes/plugin/pkg/admission/storage/storageclass/setdefault
 */
import { core, storage } from "@knarr/api/generated/resources.ts";
import type { PersistentVolumeClaim } from "@knarr/api/generated/types/core-v1.ts";
import type { ObjectMeta } from "@knarr/apimachinery/generated/meta-v1.ts";
import { type AdmissionPlugin, isFor } from "./plugin.ts";

const CLASS = "volume.beta.kubernetes.io/storage-class";
const MARKS = ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];

export const defaultStorageClass: AdmissionPlugin = {
  name: "DefaultStorageClass",
  async admit(attributes, env) {
    if (attributes.operation !== "CREATE" || !isFor(attributes, core.persistentvolumeclaims)) return;
    const claim = attributes.object as PersistentVolumeClaim;
    // An empty class is a wish of its own: no class at all.
    if (claim.spec === undefined || claim.spec.storageClassName !== undefined) return;
    if (claim.metadata.annotations?.[CLASS] !== undefined) return;
    const name = newest(await env.lookup.list(storage.storageclasses), MARKS);
    if (name !== undefined) claim.spec.storageClassName = name;
  },
};

/** The name of the newest object with one of the marks set to "true"; of equally old ones the first by name. */
export function newest(objects: readonly { metadata: ObjectMeta }[], marks: readonly string[]): string | undefined {
  const marked = objects.filter(({ metadata }) => marks.some((mark) => metadata.annotations?.[mark] === "true"));
  const created = ({ metadata }: { metadata: ObjectMeta }) => Date.parse(metadata.creationTimestamp ?? "");
  return marked.sort(
    (a, b) => created(b) - created(a) || ((a.metadata.name ?? "") < (b.metadata.name ?? "") ? -1 : 1),
  )[0]?.metadata.name;
}
