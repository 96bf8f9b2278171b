/**
 * Whether a mount is read-only to every depth, sub-mounts too. Pure.
 * Source: KEP-3857; the words are those of pkg/kubelet/kubelet_pods.go (resolveRecursiveReadOnly)
 */
import type { VolumeMount } from "@knarr/api/generated/types/core-v1.ts";

/** Why a mount can't have the mode that it asks for; undefined when it can. */
export function refuseRecursiveReadOnly(mount: VolumeMount, supported: boolean): string | undefined {
  const wanted = mount.recursiveReadOnly ?? "Disabled";
  if (wanted === "Disabled") return undefined;
  const refuse = (why: string) => `volume "${mount.name}" requested recursive read-only mode, but it is ${why}`;
  if (mount.readOnly !== true) return refuse("not read-only");
  if ((mount.mountPropagation ?? "None") !== "None") {
    return refuse(`not compatible with propagation "${mount.mountPropagation}"`);
  }
  return wanted === "Enabled" && !supported ? refuse("not supported by the runtime") : undefined;
}

/** IfPossible takes what the runtime offers. */
export function isRecursivelyReadOnly(mount: VolumeMount, supported: boolean): boolean {
  if ((mount.recursiveReadOnly ?? "Disabled") === "Disabled" || !supported) return false;
  return refuseRecursiveReadOnly(mount, supported) === undefined;
}
