/** kube-proxy's metrics under upstream's names. */

import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { Backend } from "./backend.ts";

const prefix = "kubeproxy_";
const buckets = Array.from({ length: 15 }, (_, i) => 0.001 * 2 ** i);
const linear = (start: number, width: number, count: number) =>
  Array.from({ length: count }, (_, i) => start + i * width);

export class ProxyMetrics {
  readonly registry = new Registry();
  readonly syncSeconds = this.#histogram("sync_proxy_rules_duration_seconds", "SyncProxyRules latency in seconds");
  readonly fullSyncSeconds = this.#histogram(
    "sync_full_proxy_rules_duration_seconds",
    "SyncProxyRules latency in seconds for full resyncs",
  );
  readonly partialSyncSeconds = this.#histogram(
    "sync_partial_proxy_rules_duration_seconds",
    "SyncProxyRules latency in seconds for partial resyncs",
  );
  readonly lastSync = this.#gauge(
    "sync_proxy_rules_last_timestamp_seconds",
    "The last time proxy rules were successfully synced",
    ["ip_family"],
  );
  readonly lastQueued = this.#gauge(
    "sync_proxy_rules_last_queued_timestamp_seconds",
    "The last time a sync of proxy rules was queued",
    ["ip_family"],
  );
  readonly programmingSeconds = new Histogram({
    name: `${prefix}network_programming_duration_seconds`,
    help: "In Cluster Network Programming Latency in seconds",
    buckets: [0, ...linear(0.25, 0.25, 2), ...linear(1, 1, 59), ...linear(60, 5, 12), ...linear(120, 30, 7)],
    labelNames: ["ip_family"],
    registers: [this.registry],
  });
  readonly endpointChangesPending = this.#gauge(
    "sync_proxy_rules_endpoint_changes_pending",
    "Pending proxy rules Endpoint changes",
  );
  readonly endpointChanges = this.#counter(
    "sync_proxy_rules_endpoint_changes_total",
    "Cumulative proxy rules Endpoint changes",
  );
  readonly serviceChangesPending = this.#gauge(
    "sync_proxy_rules_service_changes_pending",
    "Pending proxy rules Service changes",
  );
  readonly serviceChanges = this.#counter(
    "sync_proxy_rules_service_changes_total",
    "Cumulative proxy rules Service changes",
  );
  readonly rules = this.#gauge(
    "sync_proxy_rules_iptables_total",
    "Total number of iptables rules owned by kube-proxy",
    ["table", "ip_family"],
  );
  readonly rulesLastSync = this.#gauge(
    "sync_proxy_rules_iptables_last",
    "Number of iptables rules written by kube-proxy in last sync",
    ["ip_family"],
  );
  readonly restoreFailures = this.#counter(
    "sync_proxy_rules_iptables_restore_failures_total",
    "Cumulative proxy iptables restore failures",
    ["ip_family"],
  );
  readonly partialRestoreFailures = this.#counter(
    "sync_proxy_rules_iptables_partial_restore_failures_total",
    "Cumulative proxy iptables partial restore failures",
    ["ip_family"],
  );
  readonly nftFailures = this.#counter(
    "sync_proxy_rules_nftables_sync_failures_total",
    "Cumulative proxy nftables sync failures",
    ["ip_family"],
  );
  readonly nftCleanupFailures = this.#counter(
    "sync_proxy_rules_nftables_cleanup_failures_total",
    "Cumulative proxy nftables cleanup failures",
    ["ip_family"],
  );
  readonly withoutLocalEndpoints = this.#gauge(
    "sync_proxy_rules_no_local_endpoints_total",
    "Number of services with a Local traffic policy and no endpoints",
    ["traffic_policy", "ip_family"],
  );
  readonly deletedFlows = this.#counter(
    "conntrack_reconciler_deleted_entries_total",
    "Cumulative conntrack entries deleted by conntrack reconciler",
    ["ip_family"],
  );
  readonly healthz = this.#counter("proxy_healthz_total", "Cumulative proxy healthz HTTP status", ["code"]);
  readonly livez = this.#counter("proxy_livez_total", "Cumulative proxy livez HTTP status", ["code"]);

  constructor() {
    // Its default of 10 ms is most of what an idle daemon does.
    collectDefaultMetrics({ register: this.registry, eventLoopMonitoringPrecision: 200 });
  }

  /** A sync failed; `full` when it was one that compares with the kernel. */
  countFailure({ mode, family }: Pick<Backend, "mode" | "family">, full: boolean): void {
    const labels = { ip_family: family === "ipv4" ? "IPv4" : "IPv6" };
    if (mode === "nftables") this.nftFailures.inc(labels);
    else (full ? this.restoreFailures : this.partialRestoreFailures).inc(labels);
  }

  #histogram(name: string, help: string): Histogram {
    return new Histogram({
      name: prefix + name,
      help,
      buckets,
      labelNames: ["ip_family"],
      registers: [this.registry],
    });
  }

  #gauge(name: string, help: string, labelNames: string[] = []): Gauge {
    return new Gauge({ name: prefix + name, help, labelNames, registers: [this.registry] });
  }

  #counter(name: string, help: string, labelNames: string[] = []): Counter {
    return new Counter({ name: prefix + name, help, labelNames, registers: [this.registry] });
  }
}
