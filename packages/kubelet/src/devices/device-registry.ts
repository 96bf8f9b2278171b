/**
 * The resources that device plugins registered, their devices, and the connection to each plugin.
 *
 *   register -> connected -- the stream of devices ends --> stopped -- 5 minutes --> gone (its amount is 0 for good)
 *                   ^                                          |
 *                   +----------- registers again --------------+
 *
 * A resource of a checkpoint starts as stopped, without devices. What is connected or not does not touch what containers
 * hold. Source: pkg/kubelet/cm/devicemanager
 */

import { join } from "node:path";
import { isExtendedResource } from "@knarr/api/kinds/core/resource-names.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import type { Device, PluginOptions } from "./device-types.ts";
import type { PluginClient, RegisterRequest } from "./plugin-client.ts";

/** Source: devicemanager, endpointStopGracePeriod */
const STOP_GRACE_MS = 5 * 60_000;
/** Source: devicemanager/plugin/v1beta1, dial */
const DIAL_TIMEOUT_MS = 10_000;
const VERSION = "v1beta1";

export interface Endpoint {
  readonly client: PluginClient;
  readonly options: PluginOptions;
  readonly stop: AbortController;
}

interface Resource {
  devices: ReadonlyMap<string, Device>;
  /** undefined while the plugin is away. */
  endpoint: Endpoint | undefined;
  /** On the steady clock. */
  stoppedAt: number;
}

export interface RegistryOptions {
  readonly directory: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly timeoutMs: number;
  /** The devices of a resource are others, or others are healthy. */
  readonly onChange: () => void;
}

export interface Amounts {
  readonly capacity: Readonly<Record<string, string>>;
  readonly allocatable: Readonly<Record<string, string>>;
}

export class DeviceRegistry {
  readonly #options: RegistryOptions;
  readonly #resources = new Map<string, Resource>();
  /** Told as 0, since a resource that is not told at all would be one of the cluster. */
  readonly #gone = new Set<string>();

  constructor(options: RegistryOptions) {
    this.#options = options;
  }

  /** A resource that was there before the kubelet started. */
  remember(resource: string): void {
    const stoppedAt = this.#options.clock.monotonicMs();
    this.#resources.set(resource, { devices: new Map(), endpoint: undefined, stoppedAt });
  }

  names(): string[] {
    return [...this.#resources.keys()];
  }

  has(resource: string): boolean {
    return this.#resources.has(resource);
  }

  device(resource: string, id: string): Device | undefined {
    return this.#resources.get(resource)?.devices.get(id);
  }

  endpoint(resource: string): Endpoint | undefined {
    return this.#resources.get(resource)?.endpoint;
  }

  /** Undefined: nobody registered it. In the plugin's order. */
  healthy(resource: string): Device[] | undefined {
    const found = this.#resources.get(resource);
    if (found === undefined) return undefined;
    return found.endpoint === undefined ? [] : [...found.devices.values()].filter((device) => device.healthy);
  }

  amounts(): Amounts {
    const { clock } = this.#options;
    const capacity: Record<string, string> = {};
    const allocatable: Record<string, string> = {};
    for (const [name, resource] of this.#resources) {
      if (resource.endpoint === undefined && clock.monotonicMs() - resource.stoppedAt >= STOP_GRACE_MS) {
        this.#resources.delete(name);
        this.#gone.add(name);
        continue;
      }
      capacity[name] = String(resource.devices.size);
      allocatable[name] = String(this.healthy(name)?.length ?? 0);
    }
    for (const name of this.#gone) capacity[name] = allocatable[name] = "0";
    return { capacity, allocatable };
  }

  /** Connects to the plugin and follows its devices until `signal` aborts. Throws with upstream's wording. */
  async register(request: RegisterRequest, signal: AbortSignal): Promise<void> {
    const { directory, log, timeoutMs } = this.#options;
    const { version, resourceName: name } = request;
    if (version !== VERSION) {
      const supported = `Supported version is ["${VERSION}"]`;
      throw new Error(`requested API version ${JSON.stringify(version)} is not supported by kubelet. ${supported}`);
    }
    if (!isExtendedResource(name)) throw new Error(`the ResourceName ${JSON.stringify(name)} is invalid`);
    const { PluginClient } = await import("./plugin-client.ts");
    const client = new PluginClient(join(directory, request.endpoint));
    let options: PluginOptions;
    try {
      await client.connect(Math.min(DIAL_TIMEOUT_MS, timeoutMs));
      options = await client.options(timeoutMs).catch((cause: Error) => {
        throw new Error(`failed to get device plugin options: ${cause.message}`, { cause });
      });
    } catch (error) {
      client.close();
      throw error;
    }
    const endpoint: Endpoint = { client, options, stop: new AbortController() };
    const before = this.#resources.get(name);
    before?.endpoint?.stop.abort();
    this.#resources.set(name, { devices: before?.devices ?? new Map(), endpoint, stoppedAt: 0 });
    this.#gone.delete(name);
    log.info({ resource: name, endpoint: request.endpoint }, "device plugin registered");
    void this.#follow(name, endpoint, AbortSignal.any([signal, endpoint.stop.signal]));
  }

  async #follow(name: string, endpoint: Endpoint, signal: AbortSignal): Promise<void> {
    const { log, clock, onChange } = this.#options;
    const own = () => {
      const resource = this.#resources.get(name);
      return resource?.endpoint === endpoint ? resource : undefined;
    };
    try {
      for await (const devices of endpoint.client.watch(signal)) {
        const resource = own();
        if (resource === undefined) break;
        resource.devices = new Map(devices.map((device) => [device.id, device]));
        log.debug({ resource: name, devices: resource.devices.size }, "device plugin told its devices");
        onChange();
      }
      log.warn({ resource: name }, "device plugin ended its stream of devices");
    } catch (err) {
      log.warn({ resource: name, err }, "device plugin is gone");
    }
    endpoint.client.close();
    const resource = own();
    if (resource === undefined) return;
    resource.endpoint = undefined;
    resource.stoppedAt = clock.monotonicMs();
    if (!signal.aborted) onChange();
  }
}
