/**
 * GET /metrics/probes: how often each probe of each container succeeded and failed, and how long it took. A pod's series
 * go with it.
 * Source: k8s.io/kubernetes/pkg/kubelet/prober/prober.go, prober_manager.go
 */
import type { Container, Pod } from "@knarr/api/generated/types/core-v1.ts";
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { ProbeKind } from "../core/probe-state.ts";
import type { ProbeAnswer } from "../probes/probe-request.ts";

const TYPES: Readonly<Record<ProbeKind, string>> = {
  liveness: "Liveness",
  readiness: "Readiness",
  startup: "Startup",
};
const RESULTS = { success: "successful", failure: "failed", unknown: "unknown" } as const;

export class ProbeMetrics {
  readonly registry = new Registry();
  readonly #total = new Counter({
    name: "prober_probe_total",
    help: "[BETA] Cumulative number of a liveness, readiness or startup probe for a container by result.",
    labelNames: ["probe_type", "result", "container", "pod", "namespace", "pod_uid"],
    registers: [this.registry],
  });
  readonly #duration = new Histogram({
    name: "prober_probe_duration_seconds",
    help: "[ALPHA] Duration in seconds for a probe response.",
    labelNames: ["probe_type", "container", "pod", "namespace"],
    registers: [this.registry],
  });
  /** What was ever counted of a pod, to be forgotten with it. */
  readonly #seen = new Map<
    string,
    Map<string, { readonly kind: ProbeKind; readonly labels: Record<string, string> }>
  >();

  constructor(startedAtMs: number) {
    const start = new Gauge({
      name: "process_start_time_seconds",
      help: "[ALPHA] Start time of the process since unix epoch in seconds.",
      registers: [this.registry],
    });
    start.set(startedAtMs / 1000);
  }

  observe(pod: Pod, container: Container, kind: ProbeKind, result: ProbeAnswer["result"], durationMs: number): void {
    const { name = "", namespace = "", uid = "" } = pod.metadata;
    const labels = { container: container.name, pod: name, namespace };
    this.#total.inc({ ...labels, pod_uid: uid, probe_type: TYPES[kind], result: RESULTS[result] });
    this.#duration.observe({ ...labels, probe_type: TYPES[kind] }, durationMs / 1000);
    const seen = this.#seen.get(uid) ?? new Map();
    this.#seen.set(uid, seen);
    seen.set(`${container.name}/${kind}`, { kind, labels });
  }

  forget(podUid: string): void {
    for (const { kind, labels } of this.#seen.get(podUid)?.values() ?? []) {
      this.#duration.remove({ ...labels, probe_type: TYPES[kind] });
      for (const result of Object.values(RESULTS)) {
        this.#total.remove({ ...labels, pod_uid: podUid, probe_type: TYPES[kind], result });
      }
    }
    this.#seen.delete(podUid);
  }
}
