/** What the next container of a name is counted as. Pure. */
import type { PodStatus } from "@knarr/api/generated/types/core-v1.ts";
import { latestOf, type ObservedPod } from "./observed-pod.ts";

const VANISHED: readonly (string | undefined)[] = ["ContainerStatusUnknown", "RestartingAllContainers"];

/** One more than any container of the name ever had, by the runtime or by what was reported: it never falls. */
export function nextRestartCount(status: PodStatus, observed: ObservedPod, name: string): number {
  const reported = [
    ...(status.initContainerStatuses ?? []),
    ...(status.containerStatuses ?? []),
    ...(status.ephemeralContainerStatuses ?? []),
  ].find((s) => s.name === name);
  // Of a container that vanished the status counts the next one already.
  const vanished = reported?.containerID === undefined && VANISHED.includes(reported?.lastState?.terminated?.reason);
  const seen = latestOf(observed, name)?.restartCount;
  const ranBefore = reported?.containerID !== undefined || reported?.lastState?.terminated !== undefined;
  const fromStatus = ranBefore ? (reported?.restartCount ?? 0) + (vanished ? 0 : 1) : 0;
  return seen === undefined ? fromStatus : Math.max(seen + 1, reported?.restartCount ?? 0);
}
