/** The parts of Docker Engine's messages that the runtime reads. Source: Docker Engine API 1.41 to 1.51 */

export interface EngineLabels {
  readonly [name: string]: string;
}

/** GET /containers/json */
export interface ListedContainer {
  readonly Id: string;
  readonly Image: string;
  readonly ImageID: string;
  /** Epoch seconds. */
  readonly Created: number;
  readonly State: string;
  readonly Labels: EngineLabels | null;
}

/** GET /containers/ID/json */
export interface InspectedContainer {
  readonly Id: string;
  readonly Created: string;
  /** The image's id. */
  readonly Image: string;
  readonly LogPath: string;
  readonly State: {
    readonly Status: string;
    readonly Running: boolean;
    readonly OOMKilled: boolean;
    readonly Pid: number;
    readonly ExitCode: number;
    readonly Error: string;
    readonly StartedAt: string;
    readonly FinishedAt: string;
  };
  readonly GraphDriver?: { readonly Name: string; readonly Data: Readonly<Record<string, string>> | null };
  readonly HostConfig: {
    readonly NetworkMode: string;
    readonly CgroupParent: string;
    readonly CpuShares: number;
    readonly CpuPeriod: number;
    readonly CpuQuota: number;
    readonly CpusetCpus: string;
    readonly CpusetMems: string;
    readonly Memory: number;
    readonly OomScoreAdj: number;
  };
  readonly Config: {
    readonly Image: string;
    readonly Tty: boolean;
    readonly OpenStdin: boolean;
    readonly StdinOnce?: boolean;
    /** Absent for the default, SIGTERM. */
    readonly StopSignal?: string;
    readonly Labels: EngineLabels | null;
  };
}

/** GET /images/json and GET /images/NAME/json */
export interface EngineImage {
  readonly Id: string;
  readonly RepoTags: readonly string[] | null;
  readonly RepoDigests: readonly string[] | null;
  readonly Size: number;
  readonly Config?: { readonly User?: string } | null;
}

/** GET /info */
export interface EngineInfo {
  readonly DockerRootDir: string;
  readonly Driver: string;
  readonly CgroupDriver: string;
  readonly CgroupVersion: string;
  readonly Runtimes: Readonly<Record<string, unknown>> | null;
  readonly DefaultRuntime: string;
  readonly SecurityOptions: readonly string[] | null;
}

/** GET /events, one message. */
export interface EngineEvent {
  readonly Type: string;
  readonly Action: string;
  readonly Actor: { readonly ID: string; readonly Attributes: EngineLabels };
  readonly timeNano: number;
}
