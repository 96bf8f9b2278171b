/** An object reduced to its metadata. Source: api-concepts#metadata-only-fetches */
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { PLAIN, type Representation } from "../http/media-type.ts";

export function metadataOnly(object: KubeObject, { metaVersion }: Representation = PLAIN): KubeObject {
  return { kind: "PartialObjectMetadata", apiVersion: `meta.k8s.io/${metaVersion}`, metadata: object.metadata };
}
