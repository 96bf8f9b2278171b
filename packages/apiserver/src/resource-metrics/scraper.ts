/**
 * Asks every node's kubelet for /metrics/resource: every 15 s while somebody reads metrics.k8s.io, every minute otherwise,
 * so that the first reader finds something. Nodes are asked side by side, each with a deadline of its own; one that does not
 * answer is not asked again before it did or its time was up, and holds up nobody.
 * Inputs: the nodes, their kubelets, readers (`asked`). Never throws for a node's failure.
 */
import type { Node } from "@knarr/api/generated/types/core-v1.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import { parseSamples } from "./parse-samples.ts";
import type { UsageStore } from "./usage-store.ts";

export interface ScraperOptions {
  readonly store: UsageStore;
  readonly nodes: () => Promise<readonly Node[]>;
  /** The node's /metrics/resource. */
  readonly fetch: (node: Node, signal: AbortSignal) => Promise<string>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Source: metrics-server --metric-resolution, whose smallest useful value is 15 s, and whose default is 60 s. */
const ACTIVE_INTERVAL_MS = 15_000;
const IDLE_INTERVAL_MS = 60_000;
/** How long after the last reader the short interval holds; autoscalers read every 15 s. */
const ACTIVE_FOR_MS = 5 * 60_000;
const NODE_TIMEOUT_MS = 10_000;
const MAX_AT_ONCE = 64;
/** A node's last use is shown for this long after its kubelet fell silent. */
const KEEP_MS = 90_000;

export class MetricsScraper {
  readonly #options: ScraperOptions;
  readonly #running = new Set<string>();
  #askedAtMs: number;
  #roundAtMs = Number.NEGATIVE_INFINITY;
  #wake: (() => void) | undefined;

  constructor(options: ScraperOptions) {
    this.#options = options;
    // Rates need two rounds: the first ones follow closely.
    this.#askedAtMs = options.clock.now();
  }

  /** Somebody reads the metrics: from now on they are fresh. */
  asked(): void {
    const wasIdle = !this.#isActive();
    this.#askedAtMs = this.#options.clock.now();
    if (wasIdle) this.#wake?.();
  }

  /** Until the signal aborts; scrapes that are under way are cut off then. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options;
    while (!signal.aborted) {
      const interval = this.#isActive() ? ACTIVE_INTERVAL_MS : IDLE_INTERVAL_MS;
      const waitMs = this.#roundAtMs + interval - clock.now();
      if (waitMs > 0) {
        await this.#pause(waitMs, signal);
        continue;
      }
      this.#roundAtMs = clock.now();
      try {
        await this.#round(signal);
      } catch (error) {
        // Without the list of nodes there is no round; the next one asks again.
        if (!signal.aborted) log.warn({ err: error }, "nodes could not be listed for their metrics");
      }
    }
  }

  #isActive(): boolean {
    return this.#options.clock.now() - this.#askedAtMs < ACTIVE_FOR_MS;
  }

  async #round(signal: AbortSignal): Promise<void> {
    const { nodes, store, clock } = this.#options;
    const all = await nodes();
    store.prune(new Set(all.map(nameOf)), clock.now() - KEEP_MS);
    const due = all.filter((node) => !this.#running.has(nameOf(node)) && isHeardOf(node));
    // Not awaited: the next round must not wait for a slow node.
    const lane = async () => {
      for (let node = due.shift(); node !== undefined; node = due.shift()) await this.#scrape(node, signal);
    };
    const lanes = Math.min(due.length, MAX_AT_ONCE - this.#running.size);
    for (let i = 0; i < lanes; i++) void lane();
  }

  async #scrape(node: Node, signal: AbortSignal): Promise<void> {
    const { fetch, store, clock, log } = this.#options;
    const name = nameOf(node);
    if (signal.aborted || this.#running.has(name)) return;
    this.#running.add(name);
    const deadline = new AbortController();
    const cancel = clock.setTimeout(
      () => deadline.abort(new Error("the kubelet did not answer in time")),
      NODE_TIMEOUT_MS,
    );
    try {
      const text = await fetch(node, AbortSignal.any([signal, deadline.signal]));
      store.put(name, parseSamples(text, clock.now()), clock.now());
    } catch (error) {
      // A node without metrics is missing from the answers, which is what its silence means.
      if (!signal.aborted) log.debug({ err: error, node: name }, "kubelet's metrics could not be read");
    } finally {
      cancel();
      this.#running.delete(name);
    }
  }

  /** Until the time is over, somebody reads, or the signal aborts. */
  #pause(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const end = () => {
        cancel();
        signal.removeEventListener("abort", end);
        this.#wake = undefined;
        resolve();
      };
      const cancel = this.#options.clock.setTimeout(end, ms);
      this.#wake = end;
      signal.addEventListener("abort", end, { once: true });
      if (signal.aborted) end();
    });
  }
}

function nameOf(node: Node): string {
  return node.metadata.name ?? "";
}

/** A node whose kubelet has fallen silent would only cost a deadline. */
function isHeardOf(node: Node): boolean {
  return node.status?.conditions?.find(({ type }) => type === "Ready")?.status !== "Unknown";
}
