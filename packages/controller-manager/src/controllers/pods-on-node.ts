/** Pods by the node they are bound to. */
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { Informer } from "@knarr/client/informer.ts";

const INDEX = "nodeName";

export const podNodeIndexer = { [INDEX]: ({ spec }: Pod): readonly string[] => [spec?.nodeName ?? ""] } as const;

/** The informer must have `podNodeIndexer`. */
export function podsOnNode(pods: Informer<Pod>, node: string): readonly Pod[] {
  return pods.byIndex(INDEX, node);
}
