/** Connects what keeps the node healthy, eviction and the collection of images, to the pods, the runtime and the disks. */
import { access, stat, statfs } from "node:fs/promises";
import type { Runtime } from "@knarr/cri/runtime.ts";
import { RuntimeError } from "@knarr/cri/runtime-error.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import type { Task } from "@knarr/daemon/run-group.ts";
import type { Cgroups } from "../adapters/cgroups.ts";
import { type MeasuredNode, measureNode } from "../adapters/node-signals.ts";
import { type Config, evictionThresholds } from "../config.ts";
import { EvictionManager } from "../eviction/eviction-manager.ts";
import { measurePods } from "../eviction/measure-pods.ts";
import { removeDeadContainers } from "../gc/dead-containers.ts";
import { ImageGc } from "../gc/image-gc.ts";
import type { FilesystemSpace } from "../gc/plan-image-gc.ts";
import type { PodEvents } from "../pods/pod-events.ts";
import type { PodSet } from "../pods/pod-set.ts";
import type { PodWorker } from "../pods/pod-worker.ts";
import { Logind } from "../shutdown/logind.ts";
import { ShutdownManager } from "../shutdown/shutdown-manager.ts";
import type { NodeEvent } from "./node-events.ts";

export interface NodeCareOptions {
  readonly config: Config;
  readonly runtime: Runtime;
  readonly cgroups: Cgroups | undefined;
  readonly pods: PodSet;
  readonly podEvents: PodEvents;
  readonly nodeEvent: NodeEvent;
  readonly clock: Clock;
  readonly log: Logger;
  /** The node's conditions changed: they are to be reported soon. */
  readonly onConditions: () => void;
}

export interface NodeCare {
  readonly eviction: EvictionManager;
  readonly shutdown: ShutdownManager;
  readonly tasks: Record<string, Task>;
}

/** How long the runtime's answer about its filesystem is good. */
const IMAGE_FS_MS = 60_000;

export function makeNodeCare(options: NodeCareOptions): NodeCare {
  const { config, runtime, pods, clock, log, nodeEvent } = options;
  const imageFs = new ImageFilesystem(runtime, clock, config.rootDir);
  const running = () => pods.list().filter((w) => w.holdsResources && w.lifecycle.state === "syncing");
  const images = new ImageGc({
    runtime,
    policy: {
      highPercent: config.imageGcHighThreshold,
      lowPercent: config.imageGcLowThreshold,
      minAgeMs: config.minimumImageTtlDurationMs,
      maxAgeMs: config.maximumImageAgeMs,
    },
    space: () => spaceOf(imageFs, config),
    pods: () => pods.list().map((w) => w.pod),
    sandboxImage: config.podInfraContainerImage,
    event: (reason, message) => nodeEvent("Warning", reason, message),
    clock,
    log,
  });
  const isOver = (uid: string) => pods.get(uid)?.lifecycle.state === "terminated";
  const eviction = new EvictionManager({
    thresholds: evictionThresholds(config),
    transitionMs: config.evictionPressureTransitionPeriodMs,
    maxPodGraceSeconds: config.evictionMaxPodGracePeriod,
    clock,
    log,
    onConditions: options.onConditions,
    node: {
      measure: () => measure(options, imageFs),
      pods: () => running().map((w) => w.pod),
      usage: (list, disk) => measurePods(options, list, disk),
      evict: (pod, { message, reason, graceSeconds, condition }) => {
        options.podEvents.pod(pod, "Warning", reason, message);
        pods.get(pod.metadata.uid ?? "")?.terminate("evicted", graceSeconds, { reason, message, condition });
      },
      isCleanedUp: (pod) => pods.get(pod.metadata.uid ?? "")?.released ?? true,
      reclaim: async () => {
        const containers = await removeDeadContainers(runtime, isOver);
        const bytes = await images.removeUnused();
        log.info({ containers, bytes }, "removed ended containers and unused images");
      },
      event: (reason, message) => nodeEvent("Warning", reason, message),
    },
  });
  const shutdown = makeShutdown(options, running);
  return {
    eviction,
    shutdown,
    tasks: {
      imageCollection: (s) => images.run(s),
      eviction: (s) => eviction.run(s),
      shutdown: (s) => shutdown.run(s),
    },
  };
}

function makeShutdown(options: NodeCareOptions, running: () => readonly PodWorker[]): ShutdownManager {
  const { config, pods, clock, log } = options;
  const message = "Pod was terminated in response to imminent node shutdown.";
  const condition = { type: "DisruptionTarget", reason: "TerminationByKubelet", message };
  return new ShutdownManager({
    source: new Logind(),
    periods: config.shutdownPeriods,
    pods: () => running().map((w) => w.pod),
    end: (pod, graceSeconds) => {
      pods
        .get(pod.metadata.uid ?? "")
        ?.terminate("evicted", graceSeconds, { reason: "Terminated", message, condition });
    },
    isOver: (pod) => pods.get(pod.metadata.uid ?? "")?.released ?? true,
    onChange: options.onConditions,
    clock,
    log,
  });
}

async function measure({ config, cgroups, clock }: NodeCareOptions, imageFs: ImageFilesystem): Promise<MeasuredNode> {
  const imageFsPath = await imageFs.path();
  return await measureNode({
    rootDir: config.rootDir,
    imageFsPath,
    dedicatedImageFs: imageFs.isDedicated,
    cgroups,
    now: clock.monotonicMs(),
  });
}

async function spaceOf(imageFs: ImageFilesystem, config: Config): Promise<FilesystemSpace> {
  const disk = await statfs((await imageFs.path()) ?? config.rootDir);
  return { capacityBytes: disk.blocks * disk.bsize, availableBytes: disk.bavail * disk.bsize };
}

/** A runtime in another mount namespace may name a folder that is not there for us. */
function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** Where the runtime keeps its images; asked once a minute, for it costs the runtime a walk over its snapshots. */
class ImageFilesystem {
  readonly #runtime: Runtime;
  readonly #clock: Clock;
  readonly #rootDir: string;
  #path: string | undefined;
  #dedicated = false;
  #askedAt = Number.NEGATIVE_INFINITY;

  constructor(runtime: Runtime, clock: Clock, rootDir: string) {
    this.#runtime = runtime;
    this.#clock = clock;
    this.#rootDir = rootDir;
  }

  /** Whether it is another filesystem than that of the pods' folders. */
  get isDedicated(): boolean {
    return this.#dedicated;
  }

  async path(): Promise<string | undefined> {
    if (this.#clock.monotonicMs() - this.#askedAt < IMAGE_FS_MS) return this.#path;
    this.#askedAt = this.#clock.monotonicMs();
    try {
      const [first] = await this.#runtime.imageFilesystems();
      const path = first?.mountpoint ?? "";
      this.#path = path !== "" && (await isThere(path)) ? path : undefined;
      this.#dedicated = this.#path !== undefined && (await stat(this.#path)).dev !== (await stat(this.#rootDir)).dev;
    } catch (error) {
      // A runtime that is away or does not tell: memory, pids and the node's own disk are judged all the same.
      if (!(error instanceof RuntimeError)) throw error;
    }
    return this.#path;
  }
}
