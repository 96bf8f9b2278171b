/**
 * The runtime interface on a Docker Engine: what its parts do, put together. Holds no state that a restart would miss: all
 * of it is in Docker's labels and in the state folder. Never touches a container without our label (identity.ts).
 */
import { access } from "node:fs/promises";
import { Cni } from "../cni/cni.ts";
import { loadNetwork } from "../cni/network-config.ts";
import type { CallOptions, ExecResult, PullOptions, Runtime, StreamRequest } from "../runtime.ts";
import { isRuntimeNotFound } from "../runtime-error.ts";
import type * as t from "../types.ts";
import type { EngineTraits } from "./create-requests.ts";
import { DockerContainers } from "./docker-containers.ts";
import { type DockerContext, inspectOwned, listOwned, traitsOf } from "./docker-context.ts";
import { DockerEngine } from "./docker-engine.ts";
import { DockerEvents } from "./docker-events.ts";
import { DockerImages } from "./docker-images.ts";
import { DockerSandboxes } from "./docker-sandboxes.ts";
import { DockerStats } from "./docker-stats.ts";
import { DockerStreams } from "./docker-streams.ts";
import type { EngineInfo } from "./engine-types.ts";
import { LogKeeper } from "./log-keeper.ts";
import { SandboxStore } from "./sandbox-store.ts";

export interface DockerRuntimeOptions {
  /** Deadline of an ordinary call; 2 min when absent. */
  readonly requestTimeoutMs?: number | undefined;
  /** Deadline of a pull; 30 min when absent. */
  readonly pullTimeoutMs?: number | undefined;
  /** A pull without progress for so long is given up; 1 min when absent. */
  readonly pullStallMs?: number | undefined;
  /** Networks and log positions, to outlive this process. */
  readonly stateDirectory?: string | undefined;
  readonly cniConfDir?: string | undefined;
  readonly cniBinDirs?: readonly string[] | undefined;
  readonly sandboxImage?: string | undefined;
}

const DEFAULT_STATE = "/var/lib/knarr/docker";
const DEFAULT_CNI_CONF = "/etc/cni/net.d";
const DEFAULT_CNI_BIN = ["/opt/cni/bin", "/usr/lib/cni"];
const DEFAULT_SANDBOX_IMAGE = "registry.k8s.io/pause:3.10.1";

interface EngineVersion {
  readonly Version: string;
  readonly ApiVersion: string;
}

export class DockerRuntime implements Runtime {
  readonly #context: DockerContext;
  readonly #sandboxes: DockerSandboxes;
  readonly #containers: DockerContainers;
  readonly #streams: DockerStreams;
  readonly #stats: DockerStats;
  readonly #events: DockerEvents;
  readonly #images: DockerImages;
  readonly #logs: LogKeeper;
  #traits: EngineTraits | undefined;

  constructor(socketPath: string, options: DockerRuntimeOptions = {}) {
    const { requestTimeoutMs = 120_000, pullTimeoutMs = 1_800_000, pullStallMs = 60_000 } = options;
    const engine = new DockerEngine(socketPath, requestTimeoutMs);
    const stateDirectory = options.stateDirectory ?? DEFAULT_STATE;
    this.#context = {
      engine,
      owner: stateDirectory,
      cni: new Cni(options.cniBinDirs ?? DEFAULT_CNI_BIN),
      cniConfDir: options.cniConfDir ?? DEFAULT_CNI_CONF,
      sandboxImage: options.sandboxImage ?? DEFAULT_SANDBOX_IMAGE,
      store: new SandboxStore(stateDirectory),
      traits: (callOptions) => this.#engineTraits(callOptions),
    };
    this.#images = new DockerImages({ engine, pullTimeoutMs, pullStallMs, sandboxImage: this.#context.sandboxImage });
    this.#logs = new LogKeeper(stateDirectory);
    this.#sandboxes = new DockerSandboxes(this.#context, this.#images);
    this.#containers = new DockerContainers(this.#context, this.#images, this.#logs);
    this.#streams = new DockerStreams(this.#context);
    this.#stats = new DockerStats(this.#context);
    this.#events = new DockerEvents(this.#context);
  }

  async #engineTraits(options?: CallOptions): Promise<EngineTraits> {
    this.#traits ??= traitsOf(await this.#info(options), (await this.#version(options)).ApiVersion);
    return this.#traits;
  }

  async #info(options?: CallOptions): Promise<EngineInfo> {
    return await this.#context.engine.get<EngineInfo>("/info", options);
  }

  async #version(options?: CallOptions): Promise<EngineVersion> {
    return await this.#context.engine.get<EngineVersion>("/version", options);
  }

  async version(options?: CallOptions): Promise<t.RuntimeVersion> {
    const { Version, ApiVersion } = await this.#version(options);
    // Source: dockershim: the API's version in three parts
    return { runtimeName: "docker", runtimeVersion: Version, runtimeApiVersion: `${ApiVersion}.0` };
  }

  async status(options?: CallOptions): Promise<t.RuntimeStatus> {
    const [info, version] = await Promise.all([this.#info(options), this.#version(options)]);
    // Asked anew: the engine may have been replaced by another version.
    const traits = traitsOf(info, version.ApiVersion);
    this.#traits = traits;
    const handlers = ["", ...Object.keys(info.Runtimes ?? {})];
    const features = { recursiveReadOnlyMounts: traits.recursiveReadOnly, userNamespaces: false };
    return {
      conditions: [{ type: "RuntimeReady", status: true, reason: "", message: "" }, await this.#networkCondition()],
      runtimeHandlers: handlers.map((name) => ({ name, features })),
      supplementalGroupsPolicy: false,
    };
  }

  async #networkCondition(): Promise<t.RuntimeCondition> {
    const notReady = (why: string) => ({
      type: "NetworkReady",
      status: false,
      reason: "NetworkPluginNotReady",
      message: `docker: network plugin is not ready: ${why}`,
    });
    const network = await loadNetwork(this.#context.cniConfDir);
    if (network === undefined) return notReady("cni config uninitialized");
    return { type: "NetworkReady", status: true, reason: "", message: "" };
  }

  /** Networks come from CNI files. */
  async updateRuntimeConfig(_podCidr: string): Promise<void> {}

  async cgroupDriver(options?: CallOptions): Promise<"systemd" | "cgroupfs" | undefined> {
    return (await this.#engineTraits(options)).cgroupDriver;
  }

  runSandbox(config: t.SandboxConfig, runtimeHandler: string, options?: CallOptions): Promise<string> {
    return this.#sandboxes.runSandbox(config, runtimeHandler, options);
  }

  stopSandbox(id: string, options?: CallOptions): Promise<void> {
    return this.#sandboxes.stopSandbox(id, options);
  }

  async removeSandbox(id: string, options?: CallOptions): Promise<void> {
    for (const container of await this.#containers.listContainers({ podSandboxId: id }, options)) {
      await this.#containers.removeContainer(container.id, options);
    }
    await this.#sandboxes.removeSandbox(id, options);
  }

  sandboxStatus(id: string, options?: CallOptions): Promise<t.SandboxStatus> {
    return this.#sandboxes.sandboxStatus(id, options);
  }

  listSandboxes(filter?: t.SandboxFilter, options?: CallOptions): Promise<t.Sandbox[]> {
    return this.#sandboxes.listSandboxes(filter, options);
  }

  createContainer(
    sandboxId: string,
    config: t.ContainerConfig,
    sandbox: t.SandboxConfig,
    options?: CallOptions,
  ): Promise<string> {
    return this.#containers.createContainer(sandboxId, config, sandbox, options);
  }

  startContainer(id: string, options?: CallOptions): Promise<void> {
    return this.#containers.startContainer(id, options);
  }

  stopContainer(id: string, graceSeconds: number, options?: CallOptions): Promise<void> {
    return this.#containers.stopContainer(id, graceSeconds, options);
  }

  removeContainer(id: string, options?: CallOptions): Promise<void> {
    return this.#containers.removeContainer(id, options);
  }

  listContainers(filter?: t.ContainerFilter, options?: CallOptions): Promise<t.RuntimeContainer[]> {
    return this.#containers.listContainers(filter, options);
  }

  containerStatus(id: string, options?: CallOptions): Promise<t.ContainerStatus> {
    return this.#containers.containerStatus(id, options);
  }

  updateContainerResources(id: string, linux: t.LinuxContainerResources, options?: CallOptions): Promise<void> {
    return this.#containers.updateContainerResources(id, linux, options);
  }

  reopenContainerLog(id: string, options?: CallOptions): Promise<void> {
    return this.#containers.reopenContainerLog(id, options);
  }

  execSync(id: string, command: readonly string[], timeoutMs: number, options?: CallOptions): Promise<ExecResult> {
    return this.#streams.execSync(id, command, timeoutMs, options);
  }

  execUrl(id: string, command: readonly string[], request: StreamRequest, options?: CallOptions): Promise<string> {
    return this.#streams.execUrl(id, command, request, options);
  }

  attachUrl(id: string, request: StreamRequest, options?: CallOptions): Promise<string> {
    return this.#streams.attachUrl(id, request, options);
  }

  portForwardUrl(sandboxId: string, ports: readonly number[], options?: CallOptions): Promise<string> {
    return this.#streams.portForwardUrl(sandboxId, ports, options);
  }

  listContainerStats(options?: CallOptions): Promise<t.ContainerStats[]> {
    return this.#stats.listContainerStats(options);
  }

  /** Who follows the events is the one who keeps the pods: it also goes on with the logs of what runs already. */
  async *events(signal: AbortSignal): AsyncGenerator<t.RuntimeEvent> {
    await this.#adoptLogs({ signal });
    yield* this.#events.events(signal);
  }

  async #adoptLogs(options: CallOptions): Promise<void> {
    for (const { Id } of await listOwned(this.#context, "container", [], options)) {
      if (this.#logs.isFollowed(Id)) continue;
      try {
        const { inspected, owned } = await inspectOwned(this.#context, "container", Id, options);
        const there = await access(inspected.LogPath).then(
          () => true,
          () => false,
        );
        if (there) await this.#logs.follow(Id, inspected.LogPath, owned.record.logPath);
      } catch (error) {
        if (!isRuntimeNotFound(error)) throw error;
      }
    }
  }

  listImages(options?: CallOptions): Promise<t.Image[]> {
    return this.#images.listImages(options);
  }

  imageStatus(image: string, options?: CallOptions): Promise<t.Image | undefined> {
    return this.#images.imageStatus(image, options);
  }

  pullImage(image: string, auth: t.RegistryAuth | undefined, options?: PullOptions): Promise<string> {
    return this.#images.pullImage(image, auth, options);
  }

  removeImage(image: string, options?: CallOptions): Promise<void> {
    return this.#images.removeImage(image, options);
  }

  imageFilesystems(options?: CallOptions): Promise<t.FilesystemUsage[]> {
    return this.#images.imageFilesystems(options);
  }

  close(): void {
    this.#streams.close();
    this.#logs.close().catch(() => undefined); // Positions are kept with each write; files close with the process.
    this.#context.engine.close();
  }
}
