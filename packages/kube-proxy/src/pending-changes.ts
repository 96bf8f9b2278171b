/**
 * What has happened since the last sync, as much as the loop and the metrics need to know: that something did, when, and
 * which endpoint changes the rules will answer. Event handlers only mark; the loop re-reads the world.
 */
import type { EndpointSlice } from "@knarr/api/generated/types/discovery-v1.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { ProxyMetrics } from "./adapters/metrics.ts";
import type { ProxyHealth } from "./core/proxy-health.ts";
import { TRIGGER_TIME } from "./core/slim-objects.ts";

export class PendingChanges {
  readonly #clock: Clock;
  readonly #health: ProxyHealth;
  readonly #metrics: ProxyMetrics;
  readonly #startedMs: number;
  #dirty = false;
  #triggerTimesMs: number[] = [];
  #wake = Promise.withResolvers<void>();

  constructor(options: { readonly clock: Clock; readonly health: ProxyHealth; readonly metrics: ProxyMetrics }) {
    this.#clock = options.clock;
    this.#health = options.health;
    this.#metrics = options.metrics;
    this.#startedMs = options.clock.now();
  }

  serviceChanged(): void {
    this.#metrics.serviceChanges.inc();
    this.#metrics.serviceChangesPending.inc();
    this.#mark();
  }

  sliceChanged(slice?: EndpointSlice): void {
    this.#metrics.endpointChanges.inc();
    this.#metrics.endpointChangesPending.inc();
    const triggeredMs = Date.parse(slice?.metadata.annotations?.[TRIGGER_TIME] ?? "");
    // What happened before this process says nothing about its speed.
    if (triggeredMs >= this.#startedMs) this.#triggerTimesMs.push(triggeredMs);
    this.#mark();
  }

  nodeChanged(): void {
    this.#mark();
  }

  /** A failed sync, or one that must be repeated, has everything to do again. */
  again(): void {
    this.#mark();
  }

  #mark(): void {
    this.#health.queued(this.#clock.now());
    this.#metrics.lastQueued.set({ ip_family: "IPv4" }, this.#clock.now() / 1000);
    this.#dirty = true;
    this.#wake.resolve();
  }

  /** Resolves once something is pending; at once if something is. */
  get changed(): Promise<void> {
    return this.#wake.promise;
  }

  /** Everything up to now is about to be synced: returns the trigger times of the endpoint changes among it. */
  take(): { readonly dirty: boolean; readonly triggerTimesMs: readonly number[] } {
    const taken = { dirty: this.#dirty, triggerTimesMs: this.#triggerTimesMs };
    this.#dirty = false;
    this.#triggerTimesMs = [];
    this.#wake = Promise.withResolvers<void>();
    this.#metrics.serviceChangesPending.set(0);
    this.#metrics.endpointChangesPending.set(0);
    return taken;
  }
}
