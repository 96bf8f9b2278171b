/**
 * The runtime interface over CRI v1 and gRPC: containerd 1.6 and later, CRI-O. Holds a connection and no state.
 * Deadlines are upstream's: --runtime-request-timeout for most calls, twice that for sandboxes, the grace added to a stop.
 */
import { GrpcChannel, type ServiceName } from "./grpc-channel.ts";
import type { CallOptions, ExecResult, Runtime, StreamRequest } from "./runtime.ts";
import { isRuntimeNotFound } from "./runtime-error.ts";
import type * as t from "./types.ts";
import * as wire from "./wire.ts";

export interface GrpcRuntimeOptions {
  /** Deadline of an ordinary call; 2 min when absent. */
  readonly requestTimeoutMs?: number | undefined;
  /** Deadline of a pull; 30 min when absent. */
  readonly pullTimeoutMs?: number | undefined;
}

export class GrpcRuntime implements Runtime {
  readonly #channel: GrpcChannel;
  readonly #requestTimeoutMs: number;
  readonly #pullTimeoutMs: number;

  /** `endpoint` is "unix:///run/containerd/containerd.sock". */
  constructor(endpoint: string, options: GrpcRuntimeOptions = {}) {
    this.#channel = new GrpcChannel(endpoint);
    this.#requestTimeoutMs = options.requestTimeoutMs ?? 120_000;
    this.#pullTimeoutMs = options.pullTimeoutMs ?? 1_800_000;
  }

  #call<R>(
    method: string,
    request: object,
    options: CallOptions = {},
    timeoutMs = this.#requestTimeoutMs,
    service: ServiceName = "RuntimeService",
  ): Promise<R> {
    return this.#channel.unary<R>(service, method, request, { timeoutMs, signal: options.signal });
  }

  #imageCall<R>(method: string, request: object, options: CallOptions = {}, timeoutMs?: number): Promise<R> {
    return this.#call<R>(method, request, options, timeoutMs ?? this.#requestTimeoutMs, "ImageService");
  }

  async version(options?: CallOptions): Promise<t.RuntimeVersion> {
    const { runtimeName, runtimeVersion, runtimeApiVersion } = await this.#call<t.RuntimeVersion>(
      "version",
      { version: "0.1.0" },
      options,
    );
    return { runtimeName, runtimeVersion, runtimeApiVersion };
  }

  async status(options?: CallOptions): Promise<t.RuntimeStatus> {
    const response = await this.#call<{
      status: { conditions: t.RuntimeCondition[] } | null;
      runtimeHandlers: t.RuntimeHandler[];
      features: { supplementalGroupsPolicy: boolean } | null;
    }>("status", { verbose: false }, options, Math.min(this.#requestTimeoutMs, 10_000));
    return {
      conditions: response.status?.conditions ?? [],
      runtimeHandlers: response.runtimeHandlers,
      supplementalGroupsPolicy: response.features?.supplementalGroupsPolicy ?? false,
    };
  }

  async updateRuntimeConfig(podCidr: string, options?: CallOptions): Promise<void> {
    await this.#call("updateRuntimeConfig", { runtimeConfig: { networkConfig: { podCidr } } }, options);
  }

  async cgroupDriver(options?: CallOptions): Promise<"systemd" | "cgroupfs" | undefined> {
    try {
      const { linux } = await this.#call<{ linux: { cgroupDriver: string } | null }>("runtimeConfig", {}, options);
      return linux === null ? undefined : linux.cgroupDriver === "CGROUPFS" ? "cgroupfs" : "systemd";
    } catch (error) {
      // Runtimes before CRI 1.28 do not have the call.
      if ((error as { code?: unknown }).code === "Unimplemented") return undefined;
      throw error;
    }
  }

  async runSandbox(config: t.SandboxConfig, runtimeHandler: string, options?: CallOptions): Promise<string> {
    const { podSandboxId } = await this.#call<{ podSandboxId: string }>(
      "runPodSandbox",
      { config, runtimeHandler },
      options,
      2 * this.#requestTimeoutMs,
    );
    return podSandboxId;
  }

  async stopSandbox(id: string, options?: CallOptions): Promise<void> {
    await ignoringNotFound(this.#call("stopPodSandbox", { podSandboxId: id }, options));
  }

  async removeSandbox(id: string, options?: CallOptions): Promise<void> {
    await ignoringNotFound(this.#call("removePodSandbox", { podSandboxId: id }, options));
  }

  async sandboxStatus(id: string, options?: CallOptions): Promise<t.SandboxStatus> {
    const response = await this.#call<{ status: wire.WireSandboxStatus; info: t.StringMap }>(
      "podSandboxStatus",
      { podSandboxId: id, verbose: true },
      options,
    );
    return wire.sandboxStatusOf(response.status, response.info);
  }

  async listSandboxes(filter: t.SandboxFilter = {}, options?: CallOptions): Promise<t.Sandbox[]> {
    const { state, ...rest } = filter;
    const wireState = state === "ready" ? "SANDBOX_READY" : "SANDBOX_NOTREADY";
    const request = { filter: { ...rest, ...(state === undefined ? {} : { state: { state: wireState } }) } };
    const { items } = await this.#call<{ items: t.Sandbox[] }>("listPodSandbox", request, options);
    return items;
  }

  async createContainer(
    sandboxId: string,
    config: t.ContainerConfig,
    sandbox: t.SandboxConfig,
    options?: CallOptions,
  ): Promise<string> {
    const envs = config.envs?.map(({ key, value }) => ({ key, value: Buffer.from(value) }));
    const { containerId } = await this.#call<{ containerId: string }>(
      "createContainer",
      { podSandboxId: sandboxId, config: { ...config, envs: envs ?? [] }, sandboxConfig: sandbox },
      options,
    );
    return containerId;
  }

  async startContainer(id: string, options?: CallOptions): Promise<void> {
    await this.#call("startContainer", { containerId: id }, options);
  }

  async checkpointContainer(
    id: string,
    location: string,
    timeoutSeconds: number,
    options?: CallOptions,
  ): Promise<void> {
    const request = { containerId: id, location, timeout: timeoutSeconds };
    const deadlineMs = timeoutSeconds > 0 ? timeoutSeconds * 1000 : this.#requestTimeoutMs;
    await this.#call("checkpointContainer", request, options, deadlineMs);
  }

  async stopContainer(id: string, graceSeconds: number, options?: CallOptions): Promise<void> {
    const deadlineMs = this.#requestTimeoutMs + graceSeconds * 1000;
    await ignoringNotFound(
      this.#call("stopContainer", { containerId: id, timeout: graceSeconds }, options, deadlineMs),
    );
  }

  async removeContainer(id: string, options?: CallOptions): Promise<void> {
    await ignoringNotFound(this.#call("removeContainer", { containerId: id }, options));
  }

  async listContainers(filter: t.ContainerFilter = {}, options?: CallOptions): Promise<t.RuntimeContainer[]> {
    const { state, ...rest } = filter;
    const request = {
      filter: { ...rest, ...(state === undefined ? {} : { state: { state: wire.WIRE_CONTAINER_STATE[state] } }) },
    };
    const { containers } = await this.#call<{ containers: t.RuntimeContainer[] }>("listContainers", request, options);
    return containers;
  }

  async containerStatus(id: string, options?: CallOptions): Promise<t.ContainerStatus> {
    const response = await this.#call<{ status: wire.WireContainerStatus }>(
      "containerStatus",
      { containerId: id, verbose: false },
      options,
    );
    return wire.containerStatusOf(response.status);
  }

  async containerPid(id: string, options?: CallOptions): Promise<number | undefined> {
    const request = { containerId: id, verbose: true };
    const { info } = await this.#call<{ info: t.StringMap }>("containerStatus", request, options);
    return wire.pidOf(info);
  }

  async updateContainerResources(id: string, linux: t.LinuxContainerResources, options?: CallOptions): Promise<void> {
    await this.#call("updateContainerResources", { containerId: id, linux }, options);
  }

  async reopenContainerLog(id: string, options?: CallOptions): Promise<void> {
    await this.#call("reopenContainerLog", { containerId: id }, options);
  }

  async execSync(
    id: string,
    command: readonly string[],
    timeoutMs: number,
    options?: CallOptions,
  ): Promise<ExecResult> {
    const timeout = Math.ceil(timeoutMs / 1000);
    const deadlineMs = timeoutMs > 0 ? timeoutMs + this.#requestTimeoutMs : this.#requestTimeoutMs;
    return await this.#call<ExecResult>("execSync", { containerId: id, cmd: command, timeout }, options, deadlineMs);
  }

  async execUrl(
    id: string,
    command: readonly string[],
    request: StreamRequest,
    options?: CallOptions,
  ): Promise<string> {
    return (await this.#call<{ url: string }>("exec", { containerId: id, cmd: command, ...request }, options)).url;
  }

  async attachUrl(id: string, request: StreamRequest, options?: CallOptions): Promise<string> {
    return (await this.#call<{ url: string }>("attach", { containerId: id, ...request }, options)).url;
  }

  async portForwardUrl(sandboxId: string, ports: readonly number[], options?: CallOptions): Promise<string> {
    return (await this.#call<{ url: string }>("portForward", { podSandboxId: sandboxId, port: ports }, options)).url;
  }

  async listContainerStats(options?: CallOptions): Promise<t.ContainerStats[]> {
    const { stats } = await this.#call<{ stats: wire.WireContainerStats[] }>(
      "listContainerStats",
      { filter: {} },
      options,
    );
    return stats.map(wire.containerStatsOf);
  }

  async *events(signal: AbortSignal): AsyncGenerator<t.RuntimeEvent> {
    const stream = this.#channel.stream<wire.WireEvent>("RuntimeService", "getContainerEvents", {}, signal);
    for await (const event of stream) yield wire.eventOf(event);
  }

  async listImages(options?: CallOptions): Promise<t.Image[]> {
    const { images } = await this.#imageCall<{ images: wire.WireImage[] }>("listImages", {}, options);
    return images.map(wire.imageOf);
  }

  async imageStatus(image: string, options?: CallOptions): Promise<t.Image | undefined> {
    const response = await this.#imageCall<{ image: wire.WireImage | null }>(
      "imageStatus",
      { image: { image }, verbose: false },
      options,
    );
    return response.image === null ? undefined : wire.imageOf(response.image);
  }

  async pullImage(image: string, auth: t.RegistryAuth | undefined, options?: CallOptions): Promise<string> {
    const request = { image: { image }, ...(auth === undefined ? {} : { auth }) };
    const response = await this.#imageCall<{ imageRef: string }>("pullImage", request, options, this.#pullTimeoutMs);
    return response.imageRef;
  }

  async removeImage(image: string, options?: CallOptions): Promise<void> {
    await ignoringNotFound(this.#imageCall("removeImage", { image: { image } }, options));
  }

  async imageFilesystems(options?: CallOptions): Promise<t.FilesystemUsage[]> {
    const { imageFilesystems } = await this.#imageCall<{ imageFilesystems: wire.WireFilesystem[] }>(
      "imageFsInfo",
      {},
      options,
    );
    return imageFilesystems.map(wire.filesystemOf);
  }

  close(): void {
    this.#channel.close();
  }
}

/** Stopping or removing what is not there is done already. */
async function ignoringNotFound(call: Promise<unknown>): Promise<void> {
  try {
    await call;
  } catch (error) {
    if (!isRuntimeNotFound(error)) throw error;
  }
}
