/** What is mounted into a container: its volumes, the hosts file, the file for its termination message. */
import { join } from "node:path";
import type { Container, Pod, VolumeMount } from "@knarr/api/generated/types/core-v1.ts";
import type { Mount } from "@knarr/cri/types.ts";
import { ContainerConfigError } from "../core/config-error.ts";
import { expandVariables } from "../core/expand.ts";
import { podDirectory } from "../volumes/pod-volumes.ts";
import { mountSubPath } from "../volumes/sub-path.ts";
import type { MountedVolume } from "../volumes/volume.ts";
import type { PodContext } from "./pod-context.ts";
import { makeTerminationFile, writeHostsFile } from "./pod-files.ts";

const PROPAGATION = {
  None: "PROPAGATION_PRIVATE",
  HostToContainer: "PROPAGATION_HOST_TO_CONTAINER",
  Bidirectional: "PROPAGATION_BIDIRECTIONAL",
} as const;

export interface MountInput {
  readonly pod: Pod;
  readonly container: Container;
  readonly volumes: ReadonlyMap<string, MountedVolume>;
  readonly podIps: readonly string[];
  readonly env: readonly { readonly key: string; readonly value: string }[];
}

export async function containerMounts(context: PodContext, input: MountInput): Promise<Mount[]> {
  const { pod, container } = input;
  const mounts: Mount[] = [];
  for (const [index, mount] of (container.volumeMounts ?? []).entries()) {
    mounts.push(await volumeMount(context, input, mount, index));
  }
  const taken = (path: string) => mounts.some((m) => m.containerPath === path);
  if (!taken("/etc/hosts")) {
    const hostPath = await writeHostsFile(context.config, pod, input.podIps);
    mounts.push({ containerPath: "/etc/hosts", hostPath, readonly: false });
  }
  const messagePath = container.terminationMessagePath ?? "/dev/termination-log";
  if (messagePath !== "" && !taken(messagePath)) {
    const hostPath = await makeTerminationFile(context.config, pod, container);
    mounts.push({ containerPath: messagePath, hostPath, readonly: false });
  }
  return mounts;
}

async function volumeMount(context: PodContext, input: MountInput, mount: VolumeMount, index: number): Promise<Mount> {
  const volume = input.volumes.get(mount.name);
  if (volume === undefined) {
    throw new ContainerConfigError(
      `cannot find volume "${mount.name}" to mount into container "${input.container.name}"`,
    );
  }
  const variables = new Map(input.env.map(({ key, value }) => [key, value]));
  const subPath =
    mount.subPathExpr !== undefined && mount.subPathExpr !== ""
      ? expandVariables(mount.subPathExpr, variables)
      : (mount.subPath ?? "");
  const directory = podDirectory(context.config.rootDir, input.pod.metadata.uid ?? "");
  const target = join(directory, "volume-subpaths", mount.name, input.container.name, String(index));
  const hostPath = subPath === "" ? volume.path : await mountSubPath(volume.path, subPath, target);
  const propagation = PROPAGATION[(mount.mountPropagation ?? "None") as keyof typeof PROPAGATION];
  const { mountPath } = mount;
  return {
    containerPath: mountPath.startsWith("/") ? mountPath : join(input.container.workingDir ?? "/", mountPath),
    hostPath,
    readonly: mount.readOnly === true || volume.readOnly,
    ...(propagation === undefined ? {} : { propagation }),
  };
}
