/** An object reduced to its metadata. Source: api-concepts#metadata-only-fetches */
import type { KubeObject } from "@knarr/apimachinery/object.ts";

export function metadataOnly(object: KubeObject): KubeObject {
  return { kind: "PartialObjectMetadata", apiVersion: "meta.k8s.io/v1", metadata: object.metadata };
}
