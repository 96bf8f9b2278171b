/**
 * What the kubelet knows of its own node: measured, asked of the runtime, and remembered between rounds. Others read it;
 * only `refresh` changes it.
 */
import type { Runtime } from "@knarr/cri/runtime.ts";
import type { RuntimeStatus, RuntimeVersion } from "@knarr/cri/types.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import {
  defaultAddress,
  type MachineInfo,
  type MachineUsage,
  readMachineInfo,
  readMachineUsage,
} from "../adapters/machine-info.ts";
import { type Config, evictionThresholds } from "../config.ts";
import { refuseImageSubPath } from "../core/image-sub-path.ts";
import { nodeAllocatable, nodeCapacity } from "../core/node-status.ts";
import type { Amounts } from "../devices/device-registry.ts";
import type { PressureCondition } from "../eviction/signals.ts";
import type { Threshold } from "../eviction/thresholds.ts";
import type { NodeFacts } from "../pods/pod-context.ts";
import type { Relist } from "../pods/relist.ts";

/** Source: upstream's PLEG health threshold. */
const RELIST_STALE_MS = 3 * 60_000;

export interface NodeStateOptions {
  readonly config: Config;
  readonly runtime: Runtime;
  readonly clock: Clock;
  readonly log: Logger;
  readonly relist: () => Relist | undefined;
  readonly pressures: () => readonly PressureCondition[];
  readonly goingDown: () => boolean;
  /** Amounts of device plugins' resources. */
  readonly devices: () => Amounts;
}

export class NodeState {
  readonly #options: NodeStateOptions;
  readonly machine: MachineInfo;
  /** On the steady clock. */
  readonly startedAt: number;
  readonly #thresholds: readonly Threshold[];
  #usage: MachineUsage;
  #address: string;
  #runtimeVersion: RuntimeVersion | undefined;
  #runtimeStatus: RuntimeStatus | undefined;
  #runtimeError: string | undefined = "container runtime status check may not have completed yet";

  private constructor(options: NodeStateOptions, machine: MachineInfo, usage: MachineUsage, address: string) {
    this.#options = options;
    this.machine = machine;
    this.#usage = usage;
    this.#address = address;
    this.startedAt = options.clock.monotonicMs();
    this.#thresholds = evictionThresholds(options.config);
  }

  static async create(options: NodeStateOptions): Promise<NodeState> {
    const address = options.config.nodeIp === "" ? ((await defaultAddress()) ?? "127.0.0.1") : options.config.nodeIp;
    const usage = await readMachineUsage(options.config.rootDir);
    return new NodeState(options, await readMachineInfo(), usage, address);
  }

  get usage(): MachineUsage {
    return this.#usage;
  }

  get pressures(): readonly PressureCondition[] {
    return this.#options.pressures();
  }

  get runtimeVersion(): RuntimeVersion | undefined {
    return this.#runtimeVersion;
  }

  get runtimeStatus(): RuntimeStatus | undefined {
    return this.#runtimeStatus;
  }

  /** "10.0.0.1,fd00::1" gives both, primary first. */
  get hostIps(): string[] {
    return this.#address.split(",").filter((ip) => ip !== "");
  }

  get capacity(): Record<string, string> {
    const { machine, usage } = this;
    const own = nodeCapacity({ ...machine, diskTotalBytes: usage.diskTotalBytes }, this.#options.config.maxPods);
    return { ...own, ...this.#options.devices().capacity };
  }

  get allocatable(): Record<string, string> {
    const { config } = this.#options;
    const { machine, usage } = this;
    const own = nodeAllocatable(
      { ...machine, diskTotalBytes: usage.diskTotalBytes },
      { maxPods: config.maxPods, reserved: [config.systemReserved, config.kubeReserved], thresholds: this.#thresholds },
    );
    return { ...own, ...this.#options.devices().allocatable };
  }

  /** Asks the runtime and the kernel again. Returns whether the runtime's readiness changed. */
  async refresh(): Promise<boolean> {
    const before = this.networkProblem() ?? this.#runtimeError;
    this.#usage = await readMachineUsage(this.#options.config.rootDir);
    try {
      this.#runtimeVersion = await this.#options.runtime.version();
      this.#runtimeStatus = await this.#options.runtime.status();
      this.#runtimeError = undefined;
    } catch (error) {
      this.#options.log.warn({ err: error }, "container runtime does not answer");
      this.#runtimeError = "container runtime is down";
    }
    return before !== (this.networkProblem() ?? this.#runtimeError);
  }

  networkProblem(): string | undefined {
    const condition = this.#runtimeStatus?.conditions.find((c) => c.type === "NetworkReady");
    if (this.#runtimeStatus === undefined) return "container runtime network not ready: no answer from the runtime yet";
    if (condition === undefined || condition.status) return undefined;
    return `container runtime network not ready: NetworkReady=false reason:${condition.reason} message:${condition.message}`;
  }

  /** Why the node is not ready, in upstream's words. */
  problems(): string[] {
    const { clock, relist } = this.#options;
    const list: string[] = [];
    if (this.#options.goingDown()) list.push("node is shutting down");
    if (this.#runtimeError !== undefined) list.push(this.#runtimeError);
    const runtime = this.#runtimeStatus?.conditions.find((c) => c.type === "RuntimeReady");
    if (runtime !== undefined && !runtime.status) {
      list.push(`container runtime not ready: RuntimeReady=false reason:${runtime.reason} message:${runtime.message}`);
    }
    const network = this.#runtimeError === undefined ? this.networkProblem() : undefined;
    if (network !== undefined) list.push(network);
    const lastList = relist()?.snapshot?.at ?? this.startedAt;
    if (clock.monotonicMs() - lastList > RELIST_STALE_MS) {
      const seconds = Math.round((clock.monotonicMs() - lastList) / 1000);
      list.push(`PLEG is not healthy: pleg was last seen active ${seconds}s ago; threshold is 3m0s`);
    }
    return list;
  }

  facts(): NodeFacts {
    return {
      hostIps: this.hostIps,
      allocatable: this.allocatable,
      memoryBytes: this.machine.memoryBytes,
      networkNotReady: this.networkProblem(),
      swap: {
        behavior: this.#options.config.swapBehavior,
        controller: this.machine.swapController,
        swapBytes: this.machine.swapBytes,
      },
      appArmor: this.machine.appArmor,
      seLinux: this.machine.seLinux,
      imageSubPathRefusal: refuseImageSubPath(this.#runtimeVersion),
      supplementalGroupsPolicy: this.#runtimeStatus?.supplementalGroupsPolicy ?? false,
      handlers: new Map(
        (this.#runtimeStatus?.runtimeHandlers ?? []).flatMap((h) =>
          h.features === undefined ? [] : [[h.name, h.features] as const],
        ),
      ),
    };
  }
}
