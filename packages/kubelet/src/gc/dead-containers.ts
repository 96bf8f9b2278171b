/**
 * Removes ended containers before their pods go: of pods that ran to their end or were evicted, when eviction needs the
 * space. What pods that run keep (one ended container per name) is theirs, see pods/clean-pod.ts.
 */
import type { Runtime } from "@knarr/cri/runtime.ts";
import { Labels } from "../core/observed-pod.ts";

/** `isOver`: nothing of the pod will be started again. Returns how many were removed. */
export async function removeDeadContainers(
  runtime: Pick<Runtime, "listContainers" | "removeContainer">,
  isOver: (podUid: string) => boolean,
): Promise<number> {
  let removed = 0;
  for (const container of await runtime.listContainers({ state: "exited" })) {
    const uid = container.labels[Labels.podUid];
    if (uid === undefined || !isOver(uid)) continue;
    await runtime.removeContainer(container.id);
    removed++;
  }
  return removed;
}
