/**
 * The DRA drivers that are registered on this node. While a driver is away too long, and when the kubelet starts, what the
 * driver offers here (its ResourceSlices of this node) is taken back, so that no pod is sent to wait for it.
 * Source: KEP-4381; pkg/kubelet/cm/dra/plugin
 */
import { resource } from "@knarr/api/generated/resources.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import type { Client } from "@knarr/client/client.ts";
import { Backoff } from "@knarr/daemon/backoff.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import type { PluginHandler, PluginInfo } from "../plugins/plugin-watcher.ts";
import type { ClaimRef, PreparedDevice } from "./claim-book.ts";
import { ClaimError } from "./pod-claims.ts";

/** By the claim's uid: what it was given, or why not. */
export type DriverAnswer = ReadonlyMap<string, { readonly error: string; readonly devices: readonly PreparedDevice[] }>;

export interface Driver {
  /** Path of the socket. */
  readonly endpoint: string;
  prepare(claims: readonly ClaimRef[], signal: AbortSignal): Promise<DriverAnswer>;
  unprepare(claims: readonly ClaimRef[], signal: AbortSignal): Promise<DriverAnswer>;
  close(): void;
}

export interface DriversOptions {
  readonly client: Pick<Client, "deleteCollection">;
  readonly nodeName: string;
  /** Whether the node's object is there: before, nothing can be offered on it. */
  readonly isRegistered: () => boolean;
  readonly open: (endpoint: string, version: string) => Promise<Driver>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** The newest first. Source: pkg/kubelet/cm/dra/plugin, servicesSupportedByKubelet */
const SERVICES: ReadonlyMap<string, string> = new Map([
  ["v1.DRAPlugin", "v1"],
  ["v1beta1.DRAPlugin", "v1beta1"],
]);
/** How long a driver may be away, to be replaced by its next version for instance. */
const AWAY_MS = 30_000;
const UNREGISTERED_RETRY_MS = 1_000;

export class Drivers implements PluginHandler {
  readonly #options: DriversOptions;
  /** By name, in the order of their coming: while a driver is replaced there are two. */
  readonly #drivers = new Map<string, Driver[]>();
  readonly #cancelWipes = new Map<string, () => void>();
  #signal: AbortSignal | undefined;

  constructor(options: DriversOptions) {
    this.#options = options;
  }

  /** The one that came last. Throws ClaimError. */
  get(name: string): Driver {
    const driver = this.#drivers.get(name)?.at(-1);
    if (driver === undefined) throw new ClaimError(`DRA driver ${name} is not registered`);
    return driver;
  }

  async register({ name, endpoint, supportedVersions }: PluginInfo): Promise<void> {
    const service = supportedVersions.find((version) => SERVICES.has(version));
    if (service === undefined) {
      const quoted = (list: Iterable<string>) => `[${[...list].map((item) => JSON.stringify(item)).join(" ")}]`;
      const why =
        supportedVersions.length === 0
          ? "empty list of supported gRPC services (aka supported versions)"
          : `none of services supported by the plugin (${quoted(supportedVersions)}) are supported by the kubelet (${quoted(SERVICES.keys())})`;
      throw new Error(`invalid supported gRPC versions of DRA driver plugin ${name} at endpoint ${endpoint}: ${why}`);
    }
    if (this.#drivers.get(name)?.some((driver) => driver.endpoint === endpoint) === true) {
      throw new Error(`endpoint ${endpoint} already registered for DRA driver plugin ${name}`);
    }
    const driver = await this.#options.open(endpoint, SERVICES.get(service) as string);
    this.#drivers.set(name, [...(this.#drivers.get(name) ?? []), driver]);
    this.#cancelWipes.get(name)?.();
    this.#cancelWipes.delete(name);
  }

  deregister({ name, endpoint }: PluginInfo): void {
    const drivers = this.#drivers.get(name) ?? [];
    for (const driver of drivers) if (driver.endpoint === endpoint) driver.close();
    const left = drivers.filter((driver) => driver.endpoint !== endpoint);
    if (left.length > 0) {
      this.#drivers.set(name, left);
      return;
    }
    this.#drivers.delete(name);
    const signal = this.#signal;
    if (signal === undefined || signal.aborted) return;
    this.#cancelWipes.get(name)?.();
    const cancelled = new AbortController();
    const cancelTimer = this.#options.clock.setTimeout(() => {
      void this.#wipe(name, AbortSignal.any([signal, cancelled.signal]));
    }, AWAY_MS);
    this.#cancelWipes.set(name, () => {
      cancelTimer();
      cancelled.abort();
    });
  }

  /** Works until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    this.#signal = signal;
    await this.#wipe(undefined, signal);
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
    for (const cancel of this.#cancelWipes.values()) cancel();
    for (const driver of [...this.#drivers.values()].flat()) driver.close();
    this.#drivers.clear();
  }

  /** Takes back what is offered of one driver, or of all; tries until it is done or the signal aborts. */
  async #wipe(driver: string | undefined, signal: AbortSignal): Promise<void> {
    const { client, nodeName, isRegistered, clock, log } = this.#options;
    const backoff = new Backoff({ initialMs: 1_000, maxMs: 300_000, factor: 2, jitter: 0.2 });
    const ofDriver = driver === undefined ? "" : `,spec.driver=${driver}`;
    const fieldSelector = `spec.nodeName=${nodeName}${ofDriver}`;
    while (!signal.aborted) {
      let waitMs = UNREGISTERED_RETRY_MS;
      try {
        if (isRegistered()) {
          await client.deleteCollection(resource.resourceslices, { namespace: "", fieldSelector, signal });
          return;
        }
      } catch (err) {
        if (signal.aborted || isNotFound(err)) return;
        waitMs = backoff.next();
        log.info({ err, fieldSelector }, "ResourceSlices not deleted, trying again");
      }
      await clock.sleep(waitMs, signal).catch(() => undefined); // Only an abort ends the sleep early.
    }
  }
}
