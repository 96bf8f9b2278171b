/** Whether another pod of this node has a persistent volume mounted, as the mount table tells it. */
import { join } from "node:path";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { mountsBelow } from "../adapters/mounts.ts";

export async function isMountedElsewhere(
  rootDir: string,
  { folder, name, pod }: { readonly folder: string; readonly name: string; readonly pod: Pod },
): Promise<boolean> {
  const pods = join(rootDir, "pods");
  const end = `/volumes/${folder}/${name}`;
  const own = join(pods, pod.metadata.uid ?? "", end);
  return (await mountsBelow(pods)).some((path) => path.endsWith(end) && path !== own);
}
