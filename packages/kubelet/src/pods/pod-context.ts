/** What every pod's worker works with: the daemon's parts, made once in run.ts. */
import type { Pod, PodStatus, Secret, Service } from "@knarr/api/generated/types/core-v1.ts";
import type { Runtime } from "@knarr/cri/runtime.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import type { Cgroups } from "../adapters/cgroups.ts";
import type { ClaimManager } from "../claims/claim-manager.ts";
import type { Config } from "../config.ts";
import type { CrashBackoff } from "../core/crash-backoff.ts";
import type { ContainerKind } from "../core/pod-actions.ts";
import type { NodeSwap } from "../core/swap.ts";
import type { CpuManager } from "../cpu-manager/cpu-manager.ts";
import type { DeviceManager } from "../devices/device-manager.ts";
import type { ImagePuller } from "../images/image-puller.ts";
import type { Prober } from "../probes/prober.ts";
import type { PodInputs } from "../volumes/volume.ts";
import type { PodEvents } from "./pod-events.ts";
import type { PodMounts } from "./pod-mounts.ts";
import type { UserNamespaces } from "./user-namespaces.ts";

/** What pods need to know of the node. */
export interface NodeFacts {
  /** Primary first. */
  readonly hostIps: readonly string[];
  readonly allocatable: Readonly<Record<string, string>>;
  readonly memoryBytes: number;
  /** undefined when the runtime and its network are ready, else why not. */
  readonly networkNotReady: string | undefined;
  readonly swap: NodeSwap;
  /** Why the runtime can't mount a part of an image; undefined when it can. */
  readonly imageSubPathRefusal: string | undefined;
  /** Whether the kernel has AppArmor on. */
  readonly appArmor: boolean;
  /** Whether the kernel has SELinux on. */
  readonly seLinux: boolean;
  /** Whether the runtime honours supplementalGroupsPolicy. */
  readonly supplementalGroupsPolicy: boolean;
  /** What the runtime's handlers can do, by name; "" is the default one. Empty with runtimes that do not say. */
  readonly handlers: ReadonlyMap<
    string,
    { readonly userNamespaces: boolean; readonly recursiveReadOnlyMounts: boolean }
  >;
}

/** Where statuses are reported. */
export interface StatusSink {
  /** The status last computed or, before that, the one that the API has. */
  current(pod: Pod): PodStatus;
  set(pod: Pod, status: PodStatus): void;
  /** The pod holds nothing of the node any more: the last status goes out, then the object of a deleted pod. */
  finish(pod: Pod): Promise<void>;
  forget(uid: string): void;
}

export interface PullSecrets {
  readonly secrets: readonly Secret[];
  /** Names of those that are not there, or that we can't have. */
  readonly missing: readonly string[];
}

/** Further things of the API that pods refer to. */
export interface ApiObjects extends PodInputs {
  /** Every Service, and whether that is known yet. */
  services(): { readonly synced: boolean; readonly items: readonly Service[] };
  pullSecrets(pod: Pod): Promise<PullSecrets>;
  /** The runtime handler of a RuntimeClass; throws when there is no such class. */
  runtimeHandler(name: string): Promise<string>;
}

export type StepKind = "create" | "sync" | "kill";

/** Whoever counts how pods get on. Errors are a few words of ours, never of a pod. */
export interface PodCounts {
  stepped(kind: StepKind, ms: number): void;
  workerStarted(sinceSeenMs: number): void;
  podRuns(sinceSeenMs: number, sinceCreatedMs: number | undefined): void;
  sandboxStarted(error?: string): void;
  containerStarted(kind: ContainerKind, error?: string): void;
}

export interface PodContext {
  readonly config: Config;
  readonly runtime: Runtime;
  readonly runtimeName: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly events: PodEvents;
  readonly prober: Prober;
  readonly images: ImagePuller;
  readonly mounts: PodMounts;
  readonly objects: ApiObjects;
  readonly status: StatusSink;
  readonly counts?: PodCounts;
  readonly node: () => NodeFacts;
  /** undefined: the kubelet keeps no cgroups. */
  readonly cgroups: Cgroups | undefined;
  readonly crashes: CrashBackoff;
  readonly userNamespaces: UserNamespaces;
  readonly devices: DeviceManager;
  /** undefined without an API server, where the claims are. */
  readonly claims: ClaimManager | undefined;
  readonly cpus: CpuManager;
}
