/**
 * Gives containers processors of their own (--cpu-manager-policy=static) and keeps all others off them. What was given
 * lies in cpu_manager_state. The rules are those of static-policy.ts; this file keeps the state and tells the runtime.
 * Source: kubernetes.io/docs/tasks/administer-cluster/cpu-management-policies
 */
import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { Runtime } from "@knarr/cri/runtime.ts";
import { isRuntimeNotFound } from "@knarr/cri/runtime-error.ts";
import type { RuntimeContainer } from "@knarr/cri/types.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import { formatCpuSet, parseCpuSet } from "../core/cpu-set.ts";
import { reservedAmount } from "../core/node-status.ts";
import { Labels } from "../core/observed-pod.ts";
import { Wake } from "../node/wake.ts";
import { type CpuState, parseCpuState, renderCpuState } from "./cpu-state.ts";
import { readCpuTopology } from "./cpu-topology.ts";
import {
  allocatableCpus,
  allocateCpus,
  type CpuRefusal,
  exclusiveCpus,
  initialState,
  releaseCpus,
  STATIC,
  type StaticPolicy,
  stateComplaint,
} from "./static-policy.ts";
import { type Cpu, takeCpus } from "./take-cpus.ts";

const FILE = "cpu_manager_state";

export interface CpuManagerOptions {
  readonly rootDir: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly runtime: Pick<Runtime, "updateContainerResources">;
  readonly reconcilePeriodMs: number;
  /** Pods that may have processors; undefined: not all sources were read yet. */
  readonly active: () => ReadonlySet<string> | undefined;
  /** What is in the runtime. */
  readonly containers: () => readonly RuntimeContainer[];
}

export interface CpuPolicyConfig {
  readonly cpuManagerPolicy: string;
  readonly cpuManagerPolicyOptions: Readonly<Record<string, string>>;
  readonly reservedCpus: string;
  readonly systemReserved: Readonly<Record<string, string>>;
  readonly kubeReserved: Readonly<Record<string, string>>;
}

/** Undefined for the policy "none". Throws when the configuration does not fit the machine. */
export function staticPolicy(config: CpuPolicyConfig, topology: readonly Cpu[]): StaticPolicy | undefined {
  if (config.cpuManagerPolicy !== STATIC) return undefined;
  const millis = reservedAmount([config.systemReserved, config.kubeReserved], "cpu");
  if (millis === 0) {
    throw new Error("the static policy requires systemreserved.cpu + kubereserved.cpu to be greater than zero");
  }
  const all = new Set(topology.map((cpu) => cpu.id));
  const count = Math.ceil(millis / 1000);
  const named = parseCpuSet(config.reservedCpus);
  const reserved = named.length > 0 ? named : takeCpus(topology, all, count);
  if (reserved === undefined) throw new Error(`${count} CPUs are to be reserved, the machine has ${all.size}`);
  const missing = reserved.filter((cpu) => !all.has(cpu));
  if (missing.length > 0) throw new Error(`--reserved-cpus: the machine has no CPU ${formatCpuSet(missing)}`);
  const isOn = (option: string) => config.cpuManagerPolicyOptions[option] === "true";
  return {
    topology,
    reserved: new Set(reserved),
    fullPcpusOnly: isOn("full-pcpus-only"),
    strictReservation: isOn("strict-cpu-reservation"),
  };
}

export class CpuManager {
  readonly #options: CpuManagerOptions;
  readonly #policy: StaticPolicy | undefined;
  #state: CpuState;
  /** What each container was told last, by id. */
  readonly #told = new Map<string, string>();
  /** Pods that were given what they ask for since this kubelet started. */
  readonly #served = new Set<string>();
  readonly #changed = new Wake();
  #saving: Promise<void> = Promise.resolve();

  private constructor(options: CpuManagerOptions, policy: StaticPolicy | undefined, state: CpuState) {
    this.#options = options;
    this.#policy = policy;
    this.#state = state;
  }

  /** Reads what was given before. Throws when that does not fit: somebody must empty the node first, as with upstream. */
  static async load(options: CpuManagerOptions, config: CpuPolicyConfig): Promise<CpuManager> {
    const isStatic = config.cpuManagerPolicy === STATIC;
    const policy = isStatic ? staticPolicy(config, await readCpuTopology()) : undefined;
    const path = join(options.rootDir, FILE);
    const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return undefined;
      throw error;
    });
    const none: CpuState = { policy: config.cpuManagerPolicy, shared: [], assignments: new Map() };
    const fresh = policy === undefined ? none : initialState(policy);
    if (text === undefined) {
      const manager = new CpuManager(options, policy, fresh);
      // Differs from upstream: the policy "none" remembers nothing, so it leaves no file either.
      if (isStatic) await manager.#save();
      return manager;
    }
    try {
      const state = parseCpuState(text);
      if (state.policy !== config.cpuManagerPolicy) {
        const [own, found] = [config.cpuManagerPolicy, state.policy].map((name) => JSON.stringify(name));
        throw new Error(`configured policy ${own} differs from state checkpoint policy ${found}`);
      }
      // Upstream's kubelet writes its first file before it knows the machine.
      const isEmpty = state.shared.length === 0 && state.assignments.size === 0;
      const complaint = policy === undefined || isEmpty ? undefined : stateComplaint(policy, state);
      if (complaint !== undefined) throw new Error(complaint);
      return new CpuManager(options, policy, isEmpty ? fresh : state);
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new Error(
        `could not restore state from checkpoint: ${why}, please drain this node and delete the CPU manager checkpoint file ${JSON.stringify(path)} before restarting Kubelet`,
        { cause },
      );
    }
  }

  /** Whether the pod asks for processors of its own and was not asked about yet. */
  wantsCpus(pod: Pod): boolean {
    if (this.#policy === undefined || this.#served.has(pod.metadata.uid ?? "")) return false;
    const { initContainers = [], containers = [] } = pod.spec ?? { containers: [] };
    return [...initContainers, ...containers].some((container) => exclusiveCpus(pod, container) > 0);
  }

  /** Gives every container of the pod its processors, or none; then returns why. */
  async allocate(pod: Pod): Promise<CpuRefusal | undefined> {
    if (this.#policy === undefined || !this.wantsCpus(pod)) return undefined;
    const active = this.#options.active();
    const current =
      active === undefined ? this.#state : releaseCpus(this.#policy, this.#state, (uid) => active.has(uid));
    const next = allocateCpus(this.#policy, current, pod);
    if ("reason" in next) return next;
    this.#served.add(pod.metadata.uid ?? "");
    await this.#become(next);
    return undefined;
  }

  /** Nothing of the pod runs any more. Idempotent. */
  async release(uid: string): Promise<void> {
    this.#served.delete(uid);
    if (this.#policy === undefined || !this.#state.assignments.has(uid)) return;
    await this.#become(releaseCpus(this.#policy, this.#state, (other) => other !== uid));
  }

  async #become(next: CpuState): Promise<void> {
    if (next === this.#state) return;
    this.#state = next;
    this.#changed.ring();
    await this.#save();
  }

  /** Where a container may run: "0,2-3"; undefined: anywhere. */
  cpuSetOf(uid: string, container: string): string | undefined {
    if (this.#policy === undefined) return undefined;
    const text = formatCpuSet(this.#state.assignments.get(uid)?.get(container) ?? this.#state.shared);
    return text === "" ? undefined : text;
  }

  cpusOf(uid: string, container: string): readonly number[] {
    return this.#state.assignments.get(uid)?.get(container) ?? [];
  }

  allocatable(): readonly number[] {
    return this.#policy === undefined ? [] : allocatableCpus(this.#policy);
  }

  get isStatic(): boolean {
    return this.#policy !== undefined;
  }

  /**
   * Moves running containers to where they may run, until the signal aborts. Differs from upstream: at once when that
   * changed, not only every --cpu-manager-reconcile-period.
   */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#reconcile(signal);
      await this.#changed.wait(this.#options.clock, this.#options.reconcilePeriodMs, signal);
    }
    await this.#saving.catch(() => undefined); // Told to whoever asked for it.
  }

  async #reconcile(signal: AbortSignal): Promise<void> {
    const { containers, runtime, log } = this.#options;
    const running = containers().filter((container) => container.state === "running");
    const ids = new Set(running.map((container) => container.id));
    for (const id of this.#told.keys()) if (!ids.has(id)) this.#told.delete(id);
    for (const { id, name, labels } of running) {
      const cpusetCpus = this.cpuSetOf(labels[Labels.podUid] ?? "", name);
      if (cpusetCpus === undefined || this.#told.get(id) === cpusetCpus) continue;
      try {
        await runtime.updateContainerResources(id, { cpusetCpus }, { signal });
        this.#told.set(id, cpusetCpus);
      } catch (err) {
        if (signal.aborted) return;
        // Tried again with the next round; a container that ended meanwhile is not in that any more.
        if (!isRuntimeNotFound(err)) log.warn({ err, container: name, cpus: cpusetCpus }, "CPUs could not be set");
      }
    }
  }

  #save(): Promise<void> {
    const write = async () => {
      const path = join(this.#options.rootDir, FILE);
      await writeFile(`${path}.new`, renderCpuState(this.#state), { mode: 0o600 });
      await rename(`${path}.new`, path);
    };
    // A write that fails is the failure of who asked for it; the next one writes all of it again.
    const saved = this.#saving.catch(() => undefined).then(write);
    this.#saving = saved;
    return saved;
  }
}
