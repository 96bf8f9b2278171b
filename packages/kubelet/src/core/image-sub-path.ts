/** Whether the runtime can mount a part of an image. Pure. */
import type { RuntimeVersion } from "@knarr/cri/types.ts";

/**
 * Why a sub-path of an image volume can't be mounted; undefined when it can.
 * Differs from upstream: refused where containerd is older than 2.2, because that mounts the whole image instead of the
 * sub-path and says nothing (containerd/containerd#11580).
 */
export function refuseImageSubPath(version: RuntimeVersion | undefined): string | undefined {
  if (version?.runtimeName !== "containerd") return undefined;
  const [, major, minor] = /^v?(\d+)\.(\d+)/.exec(version.runtimeVersion) ?? [];
  if (major === undefined || Number(major) > 2 || (Number(major) === 2 && Number(minor) >= 2)) return undefined;
  return `subPath of an image volume needs containerd 2.2 or later, and this is ${version.runtimeVersion}`;
}
