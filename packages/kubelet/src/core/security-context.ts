/** What a pod's and a container's security contexts mean to the runtime. Pure. */
import type { Container, Pod, SELinuxOptions, SeccompProfile } from "@knarr/api/generated/types/core-v1.ts";
import type {
  ContainerSecurityContext,
  Image,
  NamespaceOption,
  SandboxSecurityContext,
  SecurityProfile,
  SeLinuxOption,
} from "@knarr/cri/types.ts";
import { ContainerConfigError } from "./config-error.ts";

/** Source: upstream's defaults for procMount Default. */
const MASKED_PATHS = [
  "/proc/asound",
  "/proc/acpi",
  "/proc/interrupts",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/sys/firmware",
  "/sys/devices/virtual/powercap",
];
const READONLY_PATHS = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/** Whose users a pod has: the node's, or some of its own. */
export type UserNamespace = NonNullable<NamespaceOption["usernsOptions"]>;

export interface NamespaceInput {
  /** An ephemeral container's target. */
  readonly targetId?: string | undefined;
  readonly users?: UserNamespace | undefined;
}

export function namespaceOptions(pod: Pod, { targetId, users }: NamespaceInput): NamespaceOption {
  const spec = pod.spec;
  const pid = spec?.hostPID === true ? "NODE" : spec?.shareProcessNamespace === true ? "POD" : "CONTAINER";
  return {
    network: spec?.hostNetwork === true ? "NODE" : "POD",
    ipc: spec?.hostIPC === true ? "NODE" : "POD",
    ...(targetId === undefined ? { pid } : { pid: "TARGET" as const, targetId }),
    ...(users === undefined ? {} : { usernsOptions: users }),
  };
}

function seccompOf(profile: SeccompProfile | undefined, seccompRoot: string, byDefault = false): SecurityProfile {
  switch (profile?.type) {
    case "RuntimeDefault":
      return { profileType: "RuntimeDefault" };
    case "Localhost":
      return { profileType: "Localhost", localhostRef: `${seccompRoot}/${profile.localhostProfile ?? ""}` };
    case undefined:
      return { profileType: byDefault ? "RuntimeDefault" : "Unconfined" };
    default:
      return { profileType: "Unconfined" };
  }
}

function appArmorOf(pod: Pod, container: Container): { apparmor?: SecurityProfile; apparmorProfile?: string } {
  const profile = container.securityContext?.appArmorProfile ?? pod.spec?.securityContext?.appArmorProfile;
  switch (profile?.type) {
    case "Unconfined":
      return { apparmor: { profileType: "Unconfined" }, apparmorProfile: "unconfined" };
    case "RuntimeDefault":
      return { apparmor: { profileType: "RuntimeDefault" }, apparmorProfile: "runtime/default" };
    case "Localhost": {
      const localhostRef = profile.localhostProfile ?? "";
      return { apparmor: { profileType: "Localhost", localhostRef }, apparmorProfile: `localhost/${localhostRef}` };
    }
    default:
      return {};
  }
}

/** A container's options replace the pod's as a whole. */
function seLinuxOf(options: SELinuxOptions | undefined): { selinuxOptions?: SeLinuxOption } {
  if (options === undefined) return {};
  const { user = "", role = "", type = "", level = "" } = options;
  return { selinuxOptions: { user, role, type, level } };
}

function groupsOf(pod: Pod): number[] {
  const context = pod.spec?.securityContext;
  return [...(context?.fsGroup === undefined ? [] : [context.fsGroup]), ...(context?.supplementalGroups ?? [])];
}

export function sandboxSecurityContext(pod: Pod, users: UserNamespace): SandboxSecurityContext {
  const context = pod.spec?.securityContext;
  const all = [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])];
  return {
    namespaceOptions: namespaceOptions(pod, { users }),
    privileged: all.some((c) => c.securityContext?.privileged === true),
    seccomp: { profileType: "RuntimeDefault" },
    ...seLinuxOf(context?.seLinuxOptions),
    ...(context?.runAsUser === undefined ? {} : { runAsUser: { value: context.runAsUser } }),
    ...(context?.runAsGroup === undefined || context.runAsUser === undefined
      ? {}
      : { runAsGroup: { value: context.runAsGroup } }),
    supplementalGroups: groupsOf(pod),
    ...policyOf(pod),
  };
}

function policyOf(pod: Pod): { supplementalGroupsPolicy?: "Merge" | "Strict" } {
  const policy = pod.spec?.securityContext?.supplementalGroupsPolicy;
  return policy === "Strict" || policy === "Merge" ? { supplementalGroupsPolicy: policy } : {};
}

export interface SecurityInput extends NamespaceInput {
  readonly pod: Pod;
  readonly container: Container;
  readonly image: Image;
  readonly seccompRoot: string;
  /** Whether containers that name no profile get the runtime's. */
  readonly seccompDefault?: boolean | undefined;
}

/** Throws ContainerConfigError when the container would break its own runAsNonRoot. */
export function containerSecurityContext(input: SecurityInput): ContainerSecurityContext {
  const { pod, container, image } = input;
  const podContext = pod.spec?.securityContext;
  const own = container.securityContext;
  const runAsUser = own?.runAsUser ?? podContext?.runAsUser;
  const runAsGroup = own?.runAsGroup ?? podContext?.runAsGroup;
  verifyNonRoot(input, runAsUser);
  const privileged = own?.privileged ?? false;
  const { add = [], drop = [] } = own?.capabilities ?? {};
  const unmasked = own?.procMount === "Unmasked";
  const imageUser =
    image.uid !== undefined
      ? { runAsUser: { value: image.uid } }
      : image.username === ""
        ? {}
        : { runAsUsername: image.username };
  return {
    capabilities: { addCapabilities: add, dropCapabilities: drop },
    privileged,
    namespaceOptions: namespaceOptions(pod, input),
    ...(runAsUser === undefined ? imageUser : { runAsUser: { value: runAsUser } }),
    ...(runAsGroup === undefined ? {} : { runAsGroup: { value: runAsGroup } }),
    readonlyRootfs: own?.readOnlyRootFilesystem ?? false,
    ...seLinuxOf(own?.seLinuxOptions ?? podContext?.seLinuxOptions),
    supplementalGroups: groupsOf(pod),
    ...policyOf(pod),
    noNewPrivs: own?.allowPrivilegeEscalation === false,
    maskedPaths: privileged || unmasked ? [] : MASKED_PATHS,
    readonlyPaths: privileged || unmasked ? [] : READONLY_PATHS,
    seccomp: privileged
      ? { profileType: "Unconfined" }
      : seccompOf(own?.seccompProfile ?? podContext?.seccompProfile, input.seccompRoot, input.seccompDefault),
    ...appArmorOf(pod, container),
  };
}

function verifyNonRoot(input: SecurityInput, runAsUser: number | undefined): void {
  const { pod, container, image } = input;
  const nonRoot = container.securityContext?.runAsNonRoot ?? pod.spec?.securityContext?.runAsNonRoot ?? false;
  if (!nonRoot) return;
  const where = `(pod: "${podName(pod)}", container: ${container.name})`;
  if (runAsUser !== undefined) {
    if (runAsUser === 0) throw new ContainerConfigError(`container's runAsUser breaks non-root policy ${where}`);
    return;
  }
  if (image.uid === undefined && image.username !== "") {
    throw new ContainerConfigError(
      `container has runAsNonRoot and image has non-numeric user (${image.username}), cannot verify user is non-root ${where}`,
    );
  }
  if ((image.uid ?? 0) === 0) {
    throw new ContainerConfigError(`container has runAsNonRoot and image will run as root ${where}`);
  }
}

/** "name_namespace(uid)", as upstream's messages name pods. */
export function podName(pod: Pod): string {
  const { name = "", namespace = "", uid = "" } = pod.metadata;
  return `${name}_${namespace}(${uid})`;
}
