/** The container that exec and logs mean when none is named, told to the user as kubectl does. */
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";

const ANNOTATION = "kubectl.kubernetes.io/default-container";

/** `note` is what to tell: undefined when there is no choice, or the pod itself made it. */
export function defaultContainer(pod: Pod): { name: string; note: string | undefined } {
  const { containers = [], ephemeralContainers = [], initContainers = [] } = pod.spec ?? {};
  const annotated = pod.metadata.annotations?.[ANNOTATION];
  const name = annotated ?? containers[0]?.name ?? "";
  const all = [
    ...containers.map((c) => c.name),
    ...ephemeralContainers.map((c) => `${c.name} (ephem)`),
    ...initContainers.map((c) => `${c.name} (init)`),
  ];
  const isChosenHere = annotated === undefined && all.length > 1;
  return { name, note: isChosenHere ? `Defaulted container "${name}" out of: ${all.join(", ")}\n` : undefined };
}
