/** Starts one container: image, environment, mounts, create, start, postStart hook. */
import type { ConfigMap, Container, EphemeralContainer, Pod, Secret } from "@knarr/api/generated/types/core-v1.ts";
import { RuntimeError } from "@knarr/cri/runtime-error.ts";
import type { ContainerConfig, SandboxConfig } from "@knarr/cri/types.ts";
import { ClaimError } from "../claims/pod-claims.ts";
import { ContainerConfigError } from "../core/config-error.ts";
import { isStaticPod } from "../core/critical-pod.ts";
import { computeEnv, envObjects } from "../core/env.ts";
import { latestOf, type ObservedPod } from "../core/observed-pod.ts";
import type { StartAction } from "../core/pod-actions.ts";
import { nextRestartCount } from "../core/restart-count.ts";
import { containerConfig } from "../core/runtime-config.ts";
import { ImageError } from "../images/image-puller.ts";
import type { MountedVolume } from "../volumes/volume.ts";
import { containerDevices, containerMounts, type MountInput } from "./container-mounts.ts";
import { readFileKeys } from "./env-files.ts";
import { killContainer } from "./kill-pod.ts";
import { hookFailureMessage, runHook } from "./lifecycle-hook.ts";
import { observe } from "./observe.ts";
import type { PodContext } from "./pod-context.ts";
import type { ContainerEvent } from "./pod-events.ts";

export interface StartInput {
  readonly pod: Pod;
  readonly action: StartAction;
  readonly observed: ObservedPod;
  readonly sandboxId: string;
  readonly sandbox: SandboxConfig;
  readonly podIps: readonly string[];
  readonly volumes: ReadonlyMap<string, MountedVolume>;
  readonly signal: AbortSignal;
  /** The runtime has the container, and the limits that it is to have; called before it starts. */
  readonly onCreated: (id: string, container: Container) => Promise<void>;
}

/** Why a container did not start: its waiting reason, and when to try again. */
export class StartError extends Error {
  readonly reason: string;
  readonly retryMs: number | undefined;
  constructor(reason: string, message: string, retryMs?: number) {
    super(message);
    this.reason = reason;
    this.retryMs = retryMs;
  }
}

function findContainer(pod: Pod, action: StartAction): Container {
  const { initContainers = [], containers = [], ephemeralContainers = [] } = pod.spec ?? { containers: [] };
  const all = [...initContainers, ...containers, ...(ephemeralContainers as Container[])];
  const container = all.find((c) => c.name === action.name);
  if (container === undefined) throw new Error(`pod has no container ${action.name}`);
  return container;
}

/** Resolves when the container runs and its postStart hook is done. Throws StartError; events are recorded here. */
export async function startContainer(context: PodContext, input: StartInput): Promise<void> {
  const container = findContainer(input.pod, input.action);
  const event = context.events.container(input.pod, input.action.kind, container.name);
  const imageRefs = await ensureImageVolumes(context, input, container, event);
  const pulled = await ensureImage(context, input, container, { pull: event, failed: event });
  const config = await failAs("CreateContainerConfigError", event, () =>
    configure(context, { ...input, imageRefs }, container, pulled),
  );
  const { runtime } = context;
  const options = { signal: input.signal };
  const id = await failAs("CreateContainerError", event, () =>
    runtime.createContainer(input.sandboxId, config, input.sandbox, options),
  );
  await input.onCreated(id, container);
  event("Normal", "Created", "Container created");
  await failAs("RunContainerError", event, () => runtime.startContainer(id, options));
  event("Normal", "Started", "Container started");
  await postStart(context, input, container, id, event);
}

interface ImageEvents {
  readonly pull: ContainerEvent;
  /** That the container can't start for it. */
  readonly failed: ContainerEvent;
}

async function ensureImage(context: PodContext, input: StartInput, container: Container, events: ImageEvents) {
  try {
    const { secrets, missing } = await context.objects.pullSecrets(input.pod);
    if (missing.length > 0) {
      const message = `Unable to retrieve some image pull secrets (${missing.join(", ")}); attempting to pull the image may not succeed.`;
      context.events.pod(input.pod, "Warning", "FailedToRetrieveImagePullSecret", message);
    }
    return await context.images.ensure({
      pod: input.pod,
      container,
      secrets,
      event: events.pull,
      signal: input.signal,
    });
  } catch (error) {
    if (error instanceof ImageError) {
      events.failed("Warning", "Failed", `Error: ${error.reason}`);
      throw new StartError(error.reason, error.message, error.retryMs);
    }
    if (error instanceof ContainerConfigError) {
      events.failed("Warning", "Failed", `Error: ${error.reason}`);
      throw new StartError(error.reason, error.message);
    }
    throw error;
  }
}

/**
 * Pulls the images that the container mounts as volumes; what they are known by, by volume name. Volumes are the pod's, and
 * so are the events of their pulls.
 */
async function ensureImageVolumes(
  context: PodContext,
  input: StartInput,
  container: Container,
  failed: ContainerEvent,
): Promise<ReadonlyMap<string, string>> {
  const refs = new Map<string, string>();
  const pull: ContainerEvent = (type, reason, message) => context.events.pod(input.pod, type, reason, message);
  for (const { name } of container.volumeMounts ?? []) {
    const image = input.volumes.get(name)?.image;
    if (image === undefined || refs.has(name)) continue;
    const asked = { name: container.name, image: image.reference, imagePullPolicy: image.pullPolicy };
    refs.set(name, (await ensureImage(context, input, asked, { pull, failed })).ref);
  }
  return refs;
}

/** Runs a step; a failure of the runtime or of the pod's description becomes a StartError with an event. */
async function failAs<T>(reason: string, event: ContainerEvent, step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (error) {
    if (error instanceof ContainerConfigError) {
      event("Warning", "Failed", `Error: ${error.message}`);
      throw new StartError(error.reason, error.message);
    }
    if (!(error instanceof RuntimeError)) throw error;
    event("Warning", "Failed", `Error: ${error.detail}`);
    throw new StartError(reason, error.detail);
  }
}

async function configure(
  context: PodContext,
  input: StartInput & Pick<MountInput, "imageRefs">,
  container: Container,
  pulled: Awaited<ReturnType<typeof ensureImage>>,
): Promise<ContainerConfig> {
  const { pod, observed } = input;
  const node = context.node();
  const facts = { pod, hostIps: node.hostIps, podIps: input.podIps, allocatable: node.allocatable };
  const services = context.objects.services();
  // Source: a static pod does not wait for the API server, which it may be itself.
  if (!services.synced && !isStaticPod(pod))
    throw new ContainerConfigError("services have not yet been read at least once, cannot construct envvars");
  const { configMaps, secrets } = await loadEnvObjects(context, pod, container);
  const fileKeys = await readFileKeys(container, input.volumes);
  const event = context.events.container(pod, input.action.kind, container.name);
  const env = computeEnv({
    facts,
    container,
    fileKey: (selector) => fileKeys.get(selector),
    onSkipped: (message) => event("Warning", "InvalidEnvironmentVariableNames", message),
    configMap: (name) => configMaps.get(name),
    secret: (name) => secrets.get(name),
    services: services.items,
  });
  const mounts = await containerMounts(context, { ...input, container, env });
  const devices = containerDevices({ ...input, container });
  const plugged = await context.devices.optionsFor(pod, container);
  const target = (container as EphemeralContainer).targetContainerName ?? "";
  const targetId = target === "" ? undefined : latestOf(observed, target)?.id;
  if (target !== "" && targetId === undefined) {
    throw new ContainerConfigError(`unable to find target container "${target}"`);
  }
  return containerConfig({
    pod,
    container,
    image: pulled.image,
    imageRef: pulled.ref,
    restartCount: nextRestartCount(context.status.current(pod), observed, container.name),
    env: [...plugged.envs.filter(({ key }) => !env.some((own) => own.key === key)), ...env],
    mounts: [...plugged.mounts.map(({ readOnly, ...paths }) => ({ ...paths, readonly: readOnly })), ...mounts],
    devices: [...plugged.devices, ...devices],
    cdiDevices: [...plugged.cdiDevices, ...claimedDevices(context, pod, container)],
    annotations: plugged.annotations,
    cpusetCpus: context.cpus.cpuSetOf(pod.metadata.uid ?? "", container.name),
    seccompRoot: `${context.config.rootDir}/seccomp`,
    seccompDefault: context.config.seccompDefault,
    nodeMemoryBytes: node.memoryBytes,
    swap: node.swap,
    cgroupVersion: context.cgroups?.version ?? 1,
    targetId,
    users: input.sandbox.linux?.securityContext?.namespaceOptions.usernsOptions,
  });
}

function claimedDevices(context: PodContext, pod: Pod, container: Container) {
  try {
    return context.claims?.cdiDevices(pod, container) ?? [];
  } catch (error) {
    if (error instanceof ClaimError) throw new ContainerConfigError(error.message);
    throw error;
  }
}

async function loadEnvObjects(context: PodContext, pod: Pod, container: Container) {
  const configMaps = new Map<string, ConfigMap>();
  const secrets = new Map<string, Secret>();
  for (const { kind, name } of envObjects(container)) {
    if (kind === "ConfigMap") {
      const object = await context.objects.configMap(pod, name);
      if (object !== undefined) configMaps.set(name, object);
    } else {
      const object = await context.objects.secret(pod, name);
      if (object !== undefined) secrets.set(name, object);
    }
  }
  return { configMaps, secrets };
}

async function postStart(
  context: PodContext,
  input: StartInput,
  container: Container,
  containerId: string,
  event: ContainerEvent,
): Promise<void> {
  const handler = container.lifecycle?.postStart;
  if (handler === undefined) return;
  const { runtime, clock } = context;
  try {
    await runHook(
      handler,
      { containerId, container, podIp: input.podIps[0] ?? "" },
      { runtime, clock, timeoutMs: context.config.runtimeRequestTimeoutMs, signal: input.signal },
    );
  } catch (error) {
    if (input.signal.aborted) throw error;
    event("Warning", "FailedPostStartHook", "PostStartHook failed");
    const observed = await observe(runtime, input.observed.uid, input.signal);
    const target = observed.containers.find((c) => c.id === containerId);
    const graceSeconds = input.pod.spec?.terminationGracePeriodSeconds ?? 30;
    if (target !== undefined) {
      const message = "FailedPostStartHook";
      await killContainer(context, input.pod, target, input.podIps, { graceSeconds, message, signal: input.signal });
    }
    // The event says no more than that, lest it tells secrets of the server; the status does. Source: startContainer
    throw new StartError("PostStartHookError", hookFailureMessage(handler, container, input.pod, error));
  }
}
