/**
 * What the kubelet asks of a container runtime, split by capability; CRI v1 over gRPC is one implementation
 * (grpc-runtime.ts), Docker Engine another (docker/docker-runtime.ts), and one contract suite holds for all.
 *
 * Field names are CRI's own where a message is passed through. Times are epoch milliseconds, 0 when unknown.
 * Every call takes an AbortSignal or a deadline of its own and fails with a RuntimeError; none is retried here.
 * Source: k8s.io/cri-api 0.36, runtime.v1
 */
import type {
  ContainerConfig,
  ContainerFilter,
  ContainerStats,
  ContainerStatus,
  FilesystemUsage,
  Image,
  LinuxContainerResources,
  RegistryAuth,
  RuntimeContainer,
  RuntimeEvent,
  RuntimeStatus,
  RuntimeVersion,
  Sandbox,
  SandboxConfig,
  SandboxFilter,
  SandboxStatus,
} from "./types.ts";

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

export interface RuntimeInfo {
  version(options?: CallOptions): Promise<RuntimeVersion>;
  status(options?: CallOptions): Promise<RuntimeStatus>;
  /** Tells the runtime the node's pod CIDR; runtimes that read CNI files ignore it. */
  updateRuntimeConfig(podCidr: string, options?: CallOptions): Promise<void>;
  /** undefined when the runtime does not say. */
  cgroupDriver(options?: CallOptions): Promise<"systemd" | "cgroupfs" | undefined>;
}

export interface SandboxService {
  /** Returns the sandbox's id once it is ready and has its network. */
  runSandbox(config: SandboxConfig, runtimeHandler: string, options?: CallOptions): Promise<string>;
  /** Idempotent: also kills what still runs inside and gives the network back. */
  stopSandbox(id: string, options?: CallOptions): Promise<void>;
  /** Idempotent. */
  removeSandbox(id: string, options?: CallOptions): Promise<void>;
  /** Throws NotFound. */
  sandboxStatus(id: string, options?: CallOptions): Promise<SandboxStatus>;
  listSandboxes(filter?: SandboxFilter, options?: CallOptions): Promise<Sandbox[]>;
}

export interface ContainerService {
  createContainer(
    sandboxId: string,
    config: ContainerConfig,
    sandbox: SandboxConfig,
    options?: CallOptions,
  ): Promise<string>;
  startContainer(id: string, options?: CallOptions): Promise<void>;
  /** SIGTERM (or the stop signal), and SIGKILL after the grace; returns when it is stopped. Idempotent. */
  stopContainer(id: string, graceSeconds: number, options?: CallOptions): Promise<void>;
  /** Idempotent; kills a running container. */
  removeContainer(id: string, options?: CallOptions): Promise<void>;
  listContainers(filter?: ContainerFilter, options?: CallOptions): Promise<RuntimeContainer[]>;
  /** Throws NotFound. */
  containerStatus(id: string, options?: CallOptions): Promise<ContainerStatus>;
  /** The process that a running container began with; undefined when it is not told. Absent where nobody needs it. */
  containerPid?(id: string, options?: CallOptions): Promise<number | undefined>;
  updateContainerResources(id: string, linux: LinuxContainerResources, options?: CallOptions): Promise<void>;
  /**
   * Writes the running container's state as an archive; `timeoutSeconds` 0 leaves the deadline to the runtime. Absent in
   * runtimes that can't.
   */
  checkpointContainer?(id: string, location: string, timeoutSeconds: number, options?: CallOptions): Promise<void>;
  /** Makes the runtime open the log path anew after it was rotated. */
  reopenContainerLog(id: string, options?: CallOptions): Promise<void>;
}

export interface ExecResult {
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  readonly exitCode: number;
}

export interface StreamRequest {
  readonly tty: boolean;
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
}

export interface StreamService {
  /** Runs a command to its end. A timeout kills it and throws DeadlineExceeded; a failing command is a result. */
  execSync(id: string, command: readonly string[], timeoutMs: number, options?: CallOptions): Promise<ExecResult>;
  /** URLs of the runtime's streaming server, which speaks SPDY/3.1; each is good for one connection. */
  execUrl(id: string, command: readonly string[], request: StreamRequest, options?: CallOptions): Promise<string>;
  attachUrl(id: string, request: StreamRequest, options?: CallOptions): Promise<string>;
  portForwardUrl(sandboxId: string, ports: readonly number[], options?: CallOptions): Promise<string>;
}

export interface StatsService {
  listContainerStats(options?: CallOptions): Promise<ContainerStats[]>;
}

export interface EventService {
  /**
   * Container events as they happen, until the signal aborts. Throws Unimplemented at the first step with runtimes that
   * have no such stream (containerd 1.6), and Unavailable when it breaks; events may be missed between two calls.
   */
  events(signal: AbortSignal): AsyncIterable<RuntimeEvent>;
}

export interface PullOptions extends CallOptions {
  /** Called as layers come in, by runtimes that tell (Docker). */
  readonly onProgress?: ((progress: PullProgress) => void) | undefined;
}

export interface PullProgress {
  readonly layersDone: number;
  readonly layers: number;
  readonly bytesDone: number;
  readonly bytes: number;
}

export interface ImageService {
  listImages(options?: CallOptions): Promise<Image[]>;
  /** undefined when the image is not there. */
  imageStatus(image: string, options?: CallOptions): Promise<Image | undefined>;
  /** Returns the reference that containers are to be created with. */
  pullImage(image: string, auth: RegistryAuth | undefined, options?: PullOptions): Promise<string>;
  /** Idempotent. */
  removeImage(image: string, options?: CallOptions): Promise<void>;
  imageFilesystems(options?: CallOptions): Promise<FilesystemUsage[]>;
}

export interface Runtime
  extends RuntimeInfo,
    SandboxService,
    ContainerService,
    StreamService,
    StatsService,
    EventService,
    ImageService {
  close(): void;
}
