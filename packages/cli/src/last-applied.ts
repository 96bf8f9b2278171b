/** The annotation in which client-side apply keeps the manifest that was applied last. */
import { stringifyCanonical } from "@knarr/apimachinery/json.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import type { ObjectKey } from "@knarr/apimachinery/resource.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import type { DiscoveredResource } from "./core/resource-mapper.ts";
import type { Connection } from "./verb.ts";

export const LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration";

/** The manifest with the annotation that remembers it. */
export function withLastApplied(wanted: KubeObject): KubeObject {
  const { [LAST_APPLIED]: _old, ...annotations } = wanted.metadata.annotations ?? {};
  const remembered = `${stringifyCanonical({ ...wanted, metadata: { ...wanted.metadata, annotations } })}\n`;
  return { ...wanted, metadata: { ...wanted.metadata, annotations: { ...annotations, [LAST_APPLIED]: remembered } } };
}

export async function getIfThere(
  { client }: Connection,
  resource: DiscoveredResource,
  key: ObjectKey,
  signal: AbortSignal,
): Promise<KubeObject | undefined> {
  try {
    return (await client.get(resource, key, { signal })) as KubeObject;
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}
