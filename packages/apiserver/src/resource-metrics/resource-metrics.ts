/**
 * metrics.k8s.io without an installation: the store of what nodes and pods use, and the scraper that fills it. Owns no
 * connections of its own. An aggregated server of the same name will take this one's place.
 */
import type { KindDescriptor } from "@knarr/api/descriptor.ts";
import { core } from "@knarr/api/generated/resources.ts";
import { nodeMetricsKind } from "@knarr/api/kinds/metrics/node-metrics.ts";
import { podMetricsKind } from "@knarr/api/kinds/metrics/pod-metrics.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import type { ObjectLookup } from "../admission/plugin.ts";
import type { KubeletClient } from "../proxy/kubelet.ts";
import { fetchSamples } from "./fetch-samples.ts";
import { MetricsScraper } from "./scraper.ts";
import { UsageStore } from "./usage-store.ts";

export interface ResourceMetrics {
  readonly store: UsageStore;
  readonly scraper: MetricsScraper;
}

export const resourceMetricsKinds: readonly KindDescriptor[] = [
  nodeMetricsKind as unknown as KindDescriptor,
  podMetricsKind as unknown as KindDescriptor,
];

export function createResourceMetrics(tools: {
  readonly lookup: ObjectLookup;
  readonly kubelets: KubeletClient;
  readonly clock: Clock;
  readonly log: Logger;
}): ResourceMetrics {
  const { lookup, kubelets, clock, log } = tools;
  const store = new UsageStore();
  const scraper = new MetricsScraper({
    store,
    nodes: () => lookup.list(core.nodes),
    fetch: (node, signal) => fetchSamples(kubelets, node, signal),
    clock,
    log,
  });
  return { store, scraper };
}
