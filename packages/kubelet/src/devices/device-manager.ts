/**
 * Gives pods the devices of device plugins: at admission, remembered in kubelet_internal_checkpoint, handed to the runtime
 * at every start of a container, free again when nothing of the pod runs any more.
 * Source: kubernetes.io/docs/concepts/extend-kubernetes/compute-storage-net/device-plugins, pkg/kubelet/cm/devicemanager
 */
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Container, Pod } from "@knarr/api/generated/types/core-v1.ts";
import { quantityValue } from "@knarr/apimachinery/quantity.ts";
import { ContainerConfigError } from "../core/config-error.ts";
import { isSidecar } from "../core/restart-policy.ts";
import { serveLazily } from "../grpc/lazy-socket.ts";
import { RpcError } from "../grpc/rpc-error.ts";
import { CheckpointError, parseCheckpoint, renderCheckpoint } from "./checkpoint.ts";
import { type DeviceChoice, pickDevices, planDevices } from "./choose-devices.ts";
import { type DeviceOptions, deviceOptions, NO_DEVICE_OPTIONS } from "./device-options.ts";
import { type Amounts, DeviceRegistry, type Endpoint, type RegistryOptions } from "./device-registry.ts";
import { type AllocateAnswer, byNumaNode, type Device, deviceIds, type Grant } from "./device-types.ts";
import { Grants } from "./grants.ts";

const CHECKPOINT = "kubelet_internal_checkpoint";
/** Source: deviceplugin/v1beta1, KubeletPreStartContainerRPCTimeoutInSecs */
const PRE_START_TIMEOUT_MS = 30_000;

export interface DeviceManagerOptions extends Omit<RegistryOptions, "onChange"> {
  readonly onChange: () => void;
  /** Pods that may hold devices; undefined: not all sources were read yet. */
  readonly active: () => ReadonlySet<string> | undefined;
}

/** Why a container can't have its devices, in upstream's words. */
class AllocationError extends Error {}

export class DeviceManager {
  readonly #options: DeviceManagerOptions;
  readonly #registry: DeviceRegistry;
  readonly #grants = new Grants();
  /** Pods that were given what they ask for since this kubelet started. */
  readonly #served = new Set<string>();
  #saving: Promise<void> = Promise.resolve();
  #plugins: typeof import("./plugin-client.ts") | undefined;

  constructor(options: DeviceManagerOptions) {
    this.#options = options;
    const onChange = () => {
      void this.#save();
      options.onChange();
    };
    this.#registry = new DeviceRegistry({ ...options, onChange });
  }

  /** Reads what containers hold. A file that can't be read is as none: upstream goes on without it too. */
  async load(): Promise<void> {
    const { log, directory } = this.#options;
    const text = await readFile(join(directory, CHECKPOINT), "utf8").catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return undefined;
      throw error;
    });
    if (text === undefined) return;
    try {
      const { entries, registered } = parseCheckpoint(text);
      for (const name of registered.keys()) this.#registry.remember(name);
      if (entries.length === 0) return;
      this.#plugins = await import("./plugin-client.ts");
      for (const { answer, ...entry } of entries) {
        this.#grants.add({ ...entry, answer: decoded(this.#plugins, answer) });
      }
    } catch (err) {
      if (!(err instanceof CheckpointError)) throw err;
      log.error({ err }, "what pods hold of devices is not known: the checkpoint does not read");
    }
  }

  /** Serves the plugins' registration until the signal aborts. Plugins register again when the socket is a new one. */
  async run(signal: AbortSignal): Promise<void> {
    const { directory, log } = this.#options;
    await mkdir(directory, { recursive: true, mode: 0o750 });
    for (const entry of await readdir(directory, { withFileTypes: true })) {
      if (entry.name !== CHECKPOINT && !entry.isDirectory()) await rm(join(directory, entry.name), { force: true });
    }
    const open = async () => {
      this.#plugins = await import("./plugin-client.ts");
      return this.#plugins.registrationServer(async (request) => {
        try {
          await this.#registry.register(request, signal);
        } catch (err) {
          log.warn({ resource: request.resourceName, err }, "device plugin was refused");
          throw err;
        }
        void this.#save();
      });
    };
    await serveLazily(join(directory, "kubelet.sock"), open, { log, signal });
    await this.#saving;
  }

  /** What the node has of each resource, healthy or not, and what of it is healthy. */
  amounts(): Amounts {
    return this.#registry.amounts();
  }

  /** For admission: what is held counts as there, lest a broken plugin makes the node refuse who has devices already. */
  admissible(): Readonly<Record<string, string>> {
    const amounts: Record<string, string> = { ...this.amounts().allocatable };
    for (const { resource } of this.#grants.list()) {
      const held = this.#grants.inUse(resource).size;
      if (held > Number(amounts[resource] ?? 0)) amounts[resource] = String(held);
    }
    return amounts;
  }

  /** Whether the pod asks for devices and was not asked about yet. */
  wantsDevices(pod: Pod): boolean {
    if (this.#served.has(pod.metadata.uid ?? "")) return false;
    const { initContainers = [], containers = [] } = pod.spec ?? { containers: [] };
    return [...initContainers, ...containers].some((container) => this.#demands(container).length > 0);
  }

  /** The resources of plugins that a container asks for. Extended resources are not overcommitted: limits say all. */
  #demands(container: Container): { resource: string; required: number }[] {
    return Object.entries(container.resources?.limits ?? {})
      .filter(([name]) => this.#registry.has(name) || this.#grants.hasResource(name))
      .map(([resource, amount]) => ({ resource, required: quantityValue(String(amount)) }));
  }

  /** Gives every container of the pod its devices, or none; then returns why, in upstream's words. */
  async allocate(pod: Pod): Promise<string | undefined> {
    const uid = pod.metadata.uid ?? "";
    const { initContainers = [], containers = [] } = pod.spec ?? { containers: [] };
    const active = this.#options.active();
    if (active !== undefined) this.#grants.retain(active);
    const reusable = new Map<string, Set<string>>();
    try {
      for (const container of [...initContainers, ...containers]) {
        await this.#allocateContainer(uid, container, reusable);
        const ends = initContainers.includes(container) && !isSidecar(container);
        for (const grant of this.#grants.ofContainer(uid, container.name)) {
          const before = reusable.get(grant.resource) ?? new Set();
          const own = deviceIds(grant);
          reusable.set(grant.resource, ends ? before.union(own) : before.difference(own));
        }
      }
    } catch (error) {
      if (!(error instanceof AllocationError)) throw error;
      this.#grants.remove(uid);
      await this.#save();
      return error.message;
    }
    this.#served.add(uid);
    await this.#save();
    return undefined;
  }

  async #allocateContainer(uid: string, container: Container, reusable: Map<string, Set<string>>): Promise<void> {
    for (const { resource, required } of this.#demands(container)) {
      const plan = () => {
        const held = this.#grants.get(uid, container.name, resource);
        return planDevices({
          podUid: uid,
          container: container.name,
          resource,
          required,
          held: held && deviceIds(held),
          healthy: this.#registry.healthy(resource)?.map((device) => device.id),
          reusable: reusable.get(resource) ?? new Set(),
          inUse: this.#grants.inUse(resource),
        });
      };
      const first = plan();
      if (first.kind === "refused") throw new AllocationError(first.why);
      if (first.kind === "held") continue;
      const endpoint = this.#registry.endpoint(resource);
      if (endpoint === undefined) throw new AllocationError(`unknown Device Plugin ${resource}`);
      const preferred = await this.#preferred(endpoint, first, required);
      // Others may have been given devices meanwhile.
      const choice = plan();
      if (choice.kind === "refused") throw new AllocationError(choice.why);
      if (choice.kind === "choose") {
        await this.#grant(
          endpoint,
          { podUid: uid, container: container.name, resource },
          pickDevices(choice, preferred),
        );
      }
    }
  }

  async #preferred(endpoint: Endpoint, choice: DeviceChoice, size: number): Promise<readonly string[]> {
    if (!endpoint.options.getPreferredAllocationAvailable || choice.needed === 0) return [];
    const available = [...choice.taken, ...choice.available];
    try {
      return await endpoint.client.preferred(available, choice.taken, size, this.#options.timeoutMs);
    } catch (cause) {
      throw this.#failure("device plugin GetPreferredAllocation rpc failed with err: ", cause);
    }
  }

  /**
   * Differs from upstream: the call has a deadline (--runtime-request-timeout), because a plugin that hangs would keep
   * every other pod from being admitted.
   */
  async #grant(endpoint: Endpoint, whose: Omit<Grant, "devices" | "answer">, ids: readonly string[]): Promise<void> {
    const { resource } = whose;
    const release = this.#grants.promise({ podUid: whose.podUid, resource, devices: ids });
    try {
      const answer = await endpoint.client.allocate(ids, this.#options.timeoutMs).catch((cause: unknown) => {
        throw this.#failure("", cause);
      });
      if (answer === undefined) throw new AllocationError("no containers return in allocation response");
      const devices = byNumaNode(ids, (id) => this.#registry.device(resource, id));
      this.#grants.add({ ...whose, devices, answer });
    } finally {
      release();
    }
  }

  /** Only what the plugin did is the pod's bad luck; the rest is ours. */
  #failure(prefix: string, cause: unknown): unknown {
    if (!(cause instanceof RpcError)) return cause;
    return new AllocationError(`${prefix}${cause.message}`, { cause });
  }

  /** What the runtime is to be told for a container's devices; called at each start. Throws ContainerConfigError. */
  async optionsFor(pod: Pod, container: Container): Promise<DeviceOptions> {
    const uid = pod.metadata.uid ?? "";
    const demands = this.#demands(container).filter(({ required }) => required > 0);
    if (demands.length === 0) return NO_DEVICE_OPTIONS;
    try {
      if (demands.some(({ resource }) => this.#grants.get(uid, container.name, resource) === undefined)) {
        // The checkpoint was lost, or the pod came here without being asked about.
        await this.#allocateContainer(uid, container, new Map());
        await this.#save();
      }
      for (const { resource } of demands) await this.#preStart(uid, container.name, resource);
    } catch (error) {
      if (error instanceof AllocationError) throw new ContainerConfigError(error.message);
      throw error;
    }
    return deviceOptions(this.#grants.answers(uid, container.name));
  }

  async #preStart(uid: string, container: string, resource: string): Promise<void> {
    const endpoint = this.#registry.endpoint(resource);
    if (endpoint?.options.preStartRequired !== true) return;
    const grant = this.#grants.get(uid, container, resource);
    const ids = grant === undefined ? [] : [...deviceIds(grant)];
    await endpoint.client.preStart(ids, PRE_START_TIMEOUT_MS).catch((cause: unknown) => {
      throw this.#failure("device plugin PreStartContainer rpc failed with err: ", cause);
    });
  }

  /** Nothing of the pod runs any more. Idempotent. */
  async release(uid: string): Promise<void> {
    this.#served.delete(uid);
    if (this.#grants.remove(uid)) await this.#save();
  }

  grantsOf(podUid: string, container: string): readonly Grant[] {
    return this.#grants.ofContainer(podUid, container);
  }

  /** Healthy devices by resource, whoever holds them. */
  healthyDevices(): ReadonlyMap<string, readonly Device[]> {
    return new Map(this.#registry.names().map((name) => [name, this.#registry.healthy(name) ?? []]));
  }

  /** One write after the other, each of the state at its time. Resolves when what is known now lies on disk. */
  #save(): Promise<void> {
    this.#saving = this.#saving
      .then(() => this.#write())
      .catch((err: unknown) => {
        // What is in memory still holds; the next change writes it all again.
        this.#options.log.error({ err }, "what pods hold of devices could not be written");
      });
    return this.#saving;
  }

  async #write(): Promise<void> {
    const { directory } = this.#options;
    const plugins = this.#plugins;
    // Nobody holds anything before a plugin was talked to.
    const grants =
      plugins === undefined ? [] : this.#grants.list().map((g) => ({ ...g, answer: plugins.encodeAnswer(g.answer) }));
    const registered = new Map(
      this.#registry.names().map((name) => [name, (this.#registry.healthy(name) ?? []).map((device) => device.id)]),
    );
    await mkdir(directory, { recursive: true, mode: 0o750 });
    const path = join(directory, CHECKPOINT);
    await writeFile(`${path}.new`, renderCheckpoint({ entries: grants, registered }), { mode: 0o600 });
    await rename(`${path}.new`, path);
  }
}

function decoded(plugins: typeof import("./plugin-client.ts"), bytes: Uint8Array): AllocateAnswer {
  try {
    return plugins.decodeAnswer(bytes);
  } catch (cause) {
    throw new CheckpointError("checkpoint has an answer that does not decode", { cause });
  }
}
