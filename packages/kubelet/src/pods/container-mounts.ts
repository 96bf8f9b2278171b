/** What is mounted into a container: its volumes, the hosts file, the file for its termination message; and its devices. */
import { join } from "node:path";
import type { Container, Pod, VolumeMount } from "@knarr/api/generated/types/core-v1.ts";
import type { Device, Mount } from "@knarr/cri/types.ts";
import { ContainerConfigError } from "../core/config-error.ts";
import { expandSubPath } from "../core/expand.ts";
import { isRecursivelyReadOnly, refuseRecursiveReadOnly } from "../core/read-only-mounts.ts";
import { podDirectory } from "../volumes/pod-volumes.ts";
import { checkSubPath, mountSubPath, SubPathError } from "../volumes/sub-path.ts";
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
  /** What image volumes were pulled as, by volume name. */
  readonly imageRefs: ReadonlyMap<string, string>;
  readonly podIps: readonly string[];
  readonly env: readonly { readonly key: string; readonly value: string }[];
}

export async function containerMounts(context: PodContext, input: MountInput): Promise<Mount[]> {
  const { pod, container } = input;
  const mounts: Mount[] = [];
  for (const [index, mount] of (container.volumeMounts ?? []).entries()) {
    mounts.push(await volumeMount(context, input, mount, index));
  }
  // What is the pod's alone gets its label, or SELinux keeps the pod from it.
  const relabel = context.node().seLinux ? { selinuxRelabel: true } : {};
  const taken = (path: string) => mounts.some((m) => m.containerPath === path);
  if (!taken("/etc/hosts")) {
    const hostPath = await writeHostsFile(context.config, pod, input.podIps);
    mounts.push({ containerPath: "/etc/hosts", hostPath, readonly: false, ...relabel });
  }
  const messagePath = container.terminationMessagePath ?? "/dev/termination-log";
  if (messagePath !== "" && !taken(messagePath)) {
    const hostPath = await makeTerminationFile(context.config, pod, container);
    mounts.push({ containerPath: messagePath, hostPath, readonly: false, ...relabel });
  }
  return mounts;
}

/** volumeDevices: claims of volumeMode Block, as they are. */
export function containerDevices({ container, volumes }: Pick<MountInput, "container" | "volumes">): Device[] {
  return (container.volumeDevices ?? []).map(({ name, devicePath }) => {
    const { path, readOnly } = volumeNamed(volumes, name, container);
    return { containerPath: devicePath, hostPath: path, permissions: readOnly ? "r" : "mrw" };
  });
}

function volumeNamed(volumes: MountInput["volumes"], name: string, container: Container): MountedVolume {
  const volume = volumes.get(name);
  if (volume !== undefined) return volume;
  throw new ContainerConfigError(`cannot find volume "${name}" to mount into container "${container.name}"`);
}

async function volumeMount(context: PodContext, input: MountInput, mount: VolumeMount, index: number): Promise<Mount> {
  const { container, pod } = input;
  const volume = volumeNamed(input.volumes, mount.name, container);
  const subPath = subPathOf(mount, input.env);
  const containerPath = mount.mountPath.startsWith("/")
    ? mount.mountPath
    : join(container.workingDir ?? "/", mount.mountPath);
  if (volume.image !== undefined) {
    checkSubPath(subPath);
    const why = subPath === "" ? undefined : context.node().imageSubPathRefusal;
    if (why !== undefined) throw new ContainerConfigError(why);
    return imageMount(input, mount, { containerPath, subPath });
  }
  const directory = podDirectory(context.config.rootDir, pod.metadata.uid ?? "");
  const target = join(directory, "volume-subpaths", mount.name, container.name, String(index));
  const hostPath =
    subPath === "" ? volume.path : await prepareSubPath(context, input, { mount, volume, subPath, target });
  const propagation = PROPAGATION[(mount.mountPropagation ?? "None") as keyof typeof PROPAGATION];
  const recursive = await mountsRecursivelyReadOnly(context, pod, mount);
  return {
    containerPath,
    hostPath,
    readonly: mount.readOnly === true || volume.readOnly,
    ...(propagation === undefined ? {} : { propagation }),
    ...(recursive ? { recursiveReadOnly: true } : {}),
    ...(volume.ownsData === true && context.node().seLinux ? { selinuxRelabel: true } : {}),
  };
}

function subPathOf(mount: VolumeMount, env: MountInput["env"]): string {
  const { subPath = "", subPathExpr = "" } = mount;
  if (subPathExpr === "") return subPath;
  return expandSubPath(subPathExpr, new Map(env.map(({ key, value }) => [key, value])));
}

interface SubPathInput {
  readonly mount: VolumeMount;
  readonly volume: MountedVolume;
  readonly subPath: string;
  readonly target: string;
}

async function prepareSubPath(
  { log }: PodContext,
  { pod, container }: MountInput,
  { mount, volume, subPath, target }: SubPathInput,
): Promise<string> {
  try {
    return await mountSubPath(volume.path, subPath, target);
  } catch (error) {
    if (!(error instanceof SubPathError)) throw error;
    // What the path met on the node is for the log: the pod's owner may not look there.
    log.warn({ pod: pod.metadata.name, container: container.name, volume: mount.name, err: error }, "subPath refused");
    throw new ContainerConfigError(
      `failed to prepare subPath for volumeMount "${mount.name}" of container "${container.name}"`,
    );
  }
}

function imageMount(
  { imageRefs, volumes }: MountInput,
  mount: VolumeMount,
  { containerPath, subPath }: { readonly containerPath: string; readonly subPath: string },
): Mount {
  const image = imageRefs.get(mount.name) ?? "";
  const userSpecifiedImage = volumes.get(mount.name)?.image?.reference ?? "";
  return {
    containerPath,
    hostPath: "",
    readonly: true,
    image: { image, userSpecifiedImage },
    ...(subPath === "" ? {} : { imageSubPath: subPath }),
  };
}

async function mountsRecursivelyReadOnly(context: PodContext, pod: Pod, mount: VolumeMount): Promise<boolean> {
  if ((mount.recursiveReadOnly ?? "Disabled") === "Disabled") return false;
  const className = pod.spec?.runtimeClassName ?? "";
  const handler = className === "" ? "" : await context.objects.runtimeHandler(className);
  const supported = context.node().handlers.get(handler)?.recursiveReadOnlyMounts === true;
  const why = refuseRecursiveReadOnly(mount, supported);
  if (why !== undefined) throw new ContainerConfigError(why);
  return isRecursivelyReadOnly(mount, supported);
}
