/** Containers on Docker: create, start, stop, remove, list, status, update, logs. */
import { mkdir } from "node:fs/promises";
import { performance } from "node:perf_hooks";
import type { CallOptions, ContainerService } from "../runtime.ts";
import { isRuntimeNotFound, RuntimeError } from "../runtime-error.ts";
import type {
  ContainerConfig,
  ContainerFilter,
  ContainerStatus,
  LinuxContainerResources,
  Mount,
  RuntimeContainer,
  SandboxConfig,
} from "../types.ts";
import { applyCgroupLimits } from "./cgroup-limits.ts";
import { containerOf, containerStatusOf } from "./container-state.ts";
import { createNamed } from "./create-named.ts";
import { containerRequest, resourceFields } from "./create-requests.ts";
import { type DockerContext, inspectOwned, killNow, listOwned, removeForced } from "./docker-context.ts";
import type { DockerImages } from "./docker-images.ts";
import { engineLabelFilter, hasLabels } from "./docker-sandboxes.ts";
import type { EngineImage } from "./engine-types.ts";
import { containerName, Label, ownedOf } from "./identity.ts";
import type { LogKeeper } from "./log-keeper.ts";
import { securityOptions } from "./security-options.ts";

/** Names of images change rarely, and every status asks for them. */
const IMAGE_MAX_AGE_MS = 10_000;

export class DockerContainers implements ContainerService {
  readonly #context: DockerContext;
  readonly #images: DockerImages;
  readonly #logs: LogKeeper;
  readonly #known = new Map<string, { readonly at: number; readonly image: EngineImage | undefined }>();
  /** Limits that Docker has no field for, from create to start. */
  readonly #limits = new Map<string, LinuxContainerResources>();

  constructor(context: DockerContext, images: DockerImages, logs: LogKeeper) {
    this.#context = context;
    this.#images = images;
    this.#logs = logs;
  }

  async createContainer(
    sandboxId: string,
    config: ContainerConfig,
    sandbox: SandboxConfig,
    options?: CallOptions,
  ): Promise<string> {
    const { engine, owner, store } = this.#context;
    const traits = await this.#context.traits(options);
    const { owned } = await inspectOwned(this.#context, "sandbox", sandboxId, options);
    const security = config.linux?.securityContext;
    const mounts = config.mounts ?? [];
    await makeSources(mounts);
    const resolvConf: Mount = {
      containerPath: "/etc/resolv.conf",
      hostPath: store.resolvConfPath(sandboxId),
      readonly: security?.readonlyRootfs ?? false,
    };
    const request = containerRequest({
      owner,
      sandboxId,
      config,
      sandbox: { ...sandbox, logDirectory: sandbox.logDirectory ?? owned.record.logDirectory },
      runtimeHandler: owned.record.runtimeHandler,
      securityOpt: await securityOptions(security ?? {}, traits.hasAppArmor, security?.seccompProfilePath),
      ownMounts: [resolvConf],
      traits,
    });
    const name = containerName(config.metadata.name, config.metadata.attempt, owned.record.metadata);
    const id = await createNamed(engine, name, request, options);
    if (config.linux?.resources !== undefined) this.#limits.set(id, config.linux.resources);
    return id;
  }

  async startContainer(id: string, options?: CallOptions): Promise<void> {
    const { engine } = this.#context;
    const { owned } = await inspectOwned(this.#context, "container", id, options);
    await engine.call((docker, abortSignal) => docker.getContainer(id).start({ abortSignal }), options);
    const { inspected } = await inspectOwned(this.#context, "container", id, options);
    const limits = this.#limits.get(id);
    this.#limits.delete(id);
    if (limits !== undefined && inspected.State.Pid > 0) await applyCgroupLimits(inspected.State.Pid, limits);
    await this.#logs.follow(id, inspected.LogPath, owned.record.logPath);
  }

  async stopContainer(id: string, graceSeconds: number, options: CallOptions = {}): Promise<void> {
    const { engine } = this.#context;
    try {
      await inspectOwned(this.#context, "container", id, options);
      if (graceSeconds <= 0) return await killNow(engine, id, options);
      await engine.call(
        (docker, abortSignal) => docker.getContainer(id).stop({ t: Math.ceil(graceSeconds), abortSignal }),
        options,
        engine.requestTimeoutMs + graceSeconds * 1000,
      );
    } catch (error) {
      // 304: it does not run. Gone is stopped, too.
      if (isRuntimeNotFound(error) || isNotModified(error)) return;
      throw error;
    }
  }

  async removeContainer(id: string, options?: CallOptions): Promise<void> {
    try {
      await inspectOwned(this.#context, "container", id, options);
    } catch (error) {
      if (!isRuntimeNotFound(error)) throw error;
      await this.#logs.forget(id);
      return;
    }
    await killNow(this.#context.engine, id, options);
    await this.#logs.drain(id);
    await removeForced(this.#context.engine, id, options);
    this.#limits.delete(id);
    await this.#logs.forget(id);
  }

  async listContainers(filter: ContainerFilter = {}, options?: CallOptions): Promise<RuntimeContainer[]> {
    const ofSandbox = filter.podSandboxId === undefined ? [] : [`${Label.sandbox}=${filter.podSandboxId}`];
    const labels = [...ofSandbox, ...engineLabelFilter(filter.labelSelector)];
    const listed = await listOwned(this.#context, "container", labels, options);
    const containers = listed.flatMap((item) => {
      const owned = ownedOf(item.Labels, this.#context.owner);
      return owned?.kind === "container" ? [containerOf(item, owned.sandboxId, owned.record)] : [];
    });
    return containers.filter(
      (c) =>
        (filter.id === undefined || c.id === filter.id) &&
        (filter.state === undefined || c.state === filter.state) &&
        hasLabels(c.labels, filter.labelSelector),
    );
  }

  async containerStatus(id: string, options?: CallOptions): Promise<ContainerStatus> {
    const { inspected, owned } = await inspectOwned(this.#context, "container", id, options);
    const status = containerStatusOf(inspected, owned.record, await this.#image(inspected.Image, options));
    // Who reads that it has ended may read its log next, and must find all of it.
    if (status.state === "exited") await this.#logs.drain(id);
    return status;
  }

  async #image(id: string, options?: CallOptions): Promise<EngineImage | undefined> {
    const now = performance.now();
    for (const [key, { at }] of this.#known) if (now - at > IMAGE_MAX_AGE_MS) this.#known.delete(key);
    const known = this.#known.get(id);
    if (known !== undefined) return known.image;
    const image = await this.#images.inspect(id, options);
    this.#known.set(id, { at: now, image });
    return image;
  }

  async updateContainerResources(id: string, linux: LinuxContainerResources, options?: CallOptions): Promise<void> {
    const { engine } = this.#context;
    const { inspected } = await inspectOwned(this.#context, "container", id, options);
    const given = Object.entries(resourceFields(linux)).filter(([, value]) => value !== 0 && value !== "");
    if (given.length > 0) {
      await engine.call(
        (docker, abortSignal) => docker.getContainer(id).update({ ...Object.fromEntries(given), abortSignal }),
        options,
      );
    }
    if (inspected.State.Pid > 0) await applyCgroupLimits(inspected.State.Pid, linux);
  }

  async reopenContainerLog(id: string, options?: CallOptions): Promise<void> {
    const { inspected, owned } = await inspectOwned(this.#context, "container", id, options);
    // Source: containerd's CRI plugin refuses with the same words
    if (!inspected.State.Running) throw new RuntimeError("Unknown", "container is not running");
    await this.#logs.follow(id, inspected.LogPath, owned.record.logPath);
    await this.#logs.reopen(id);
  }
}

function isNotModified(error: unknown): boolean {
  const cause = error instanceof RuntimeError ? error.cause : error;
  return (cause as { statusCode?: unknown } | undefined)?.statusCode === 304;
}

/** Source: containerd's CRI plugin makes folders for mounts whose source is missing; Docker's mounts refuse them. */
async function makeSources(mounts: readonly Mount[]): Promise<void> {
  for (const { hostPath } of mounts) {
    try {
      await mkdir(hostPath, { recursive: true, mode: 0o755 });
    } catch (error) {
      // A file, a socket, a device: it is there.
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
  }
}
