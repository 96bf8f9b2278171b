/**
 * Runs the probes of the containers that run. Each probe of each container is a loop of its own that ends with the
 * container; verdicts are kept by container id and read by whoever computes statuses and plans.
 */
import type { Container, ContainerStatus, Pod, Probe } from "@knarr/api/generated/types/core-v1.ts";
import type { StreamService } from "@knarr/cri/runtime.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import { latestOf, type ObservedContainer, type ObservedPod } from "../core/observed-pod.ts";
import type { ProbeView } from "../core/pod-actions.ts";
import {
  advanceProbe,
  initialProbeState,
  type ProbeKind,
  type ProbeState,
  probeTiming,
  quickWaitMs,
} from "../core/probe-state.ts";
import { isSidecar } from "../core/restart-policy.ts";
import { kindOf, type PodEvents } from "../pods/pod-events.ts";
import { runExecProbe } from "./exec-probe.ts";
import { runGrpcProbe } from "./grpc-probe.ts";
import { runHttpProbe } from "./http-probe.ts";
import { httpTarget, type ProbeAnswer, probeHandler, resolvePort } from "./probe-request.ts";
import { runTcpProbe } from "./tcp-probe.ts";

export interface ProberOptions {
  readonly runtime: StreamService;
  readonly clock: Clock;
  readonly events: PodEvents;
  readonly log: Logger;
  /** The address that probes of pods on the host's network go to. */
  readonly hostIp: () => string;
  /** Counts what every probe answered; forgets pods that are gone. */
  readonly counts?: ProbeCounts;
  /** A verdict changed. */
  readonly onChange: (podUid: string) => void;
}

export interface ProbeCounts {
  observe(pod: Pod, container: Container, kind: ProbeKind, result: ProbeAnswer["result"], durationMs: number): void;
  forget(podUid: string): void;
}

interface Worker {
  readonly podUid: string;
  readonly containerId: string;
  readonly kind: ProbeKind;
  readonly stop: AbortController;
  state: ProbeState;
}

const KINDS: readonly ProbeKind[] = ["startup", "liveness", "readiness"];
const TITLES = { startup: "Startup", liveness: "Liveness", readiness: "Readiness" } as const;

function probeOf(container: Container, kind: ProbeKind): Probe | undefined {
  switch (kind) {
    case "startup":
      return container.startupProbe;
    case "liveness":
      return container.livenessProbe;
    case "readiness":
      return container.readinessProbe;
    default:
      return kind satisfies never;
  }
}

export class Prober implements ProbeView {
  readonly #options: ProberOptions;
  /** By "containerId/kind". */
  readonly #workers = new Map<string, Worker>();
  readonly #ips = new Map<string, string>();

  constructor(options: ProberOptions) {
    this.#options = options;
  }

  /** Starts and stops probes so that they fit what runs. `previous`: verdicts reported before this kubelet started. */
  sync(pod: Pod, observed: ObservedPod, previous: readonly ContainerStatus[]): void {
    const running = new Set<string>();
    const sidecars = (pod.spec?.initContainers ?? []).filter(isSidecar);
    for (const container of [...sidecars, ...(pod.spec?.containers ?? [])]) {
      const latest = latestOf(observed, container.name);
      if (latest?.state !== "running") continue;
      running.add(latest.id);
      for (const kind of KINDS) this.#ensure(pod, container, latest, kind, previous);
    }
    for (const [key, worker] of this.#workers) {
      if (worker.podUid !== observed.uid || running.has(worker.containerId)) continue;
      worker.stop.abort();
      this.#workers.delete(key);
    }
  }

  remove(podUid: string): void {
    this.#ips.delete(podUid);
    this.#options.counts?.forget(podUid);
    for (const [key, worker] of this.#workers) {
      if (worker.podUid !== podUid) continue;
      worker.stop.abort();
      this.#workers.delete(key);
    }
  }

  /** Stops killing probes of a pod that is going; readiness goes on so that its endpoints stay true. */
  stopLiveness(podUid: string): void {
    for (const worker of this.#workers.values()) {
      if (worker.podUid === podUid && worker.kind !== "readiness") worker.stop.abort();
    }
  }

  liveness(containerId: string) {
    return this.#workers.get(`${containerId}/liveness`)?.state.outcome;
  }

  startup(containerId: string) {
    return this.#workers.get(`${containerId}/startup`)?.state.outcome;
  }

  /** undefined without a readiness probe. */
  ready(containerId: string): boolean | undefined {
    const worker = this.#workers.get(`${containerId}/readiness`);
    return worker === undefined ? undefined : worker.state.outcome === "success";
  }

  /** undefined without a startup probe. */
  started(containerId: string): boolean | undefined {
    const worker = this.#workers.get(`${containerId}/startup`);
    return worker === undefined ? undefined : worker.state.outcome === "success";
  }

  #ensure(
    pod: Pod,
    container: Container,
    latest: ObservedContainer,
    kind: ProbeKind,
    previous: readonly ContainerStatus[],
  ): void {
    const probe = probeOf(container, kind);
    const key = `${latest.id}/${kind}`;
    if (probe === undefined || probeHandler(probe) === undefined || this.#workers.has(key)) return;
    const worker: Worker = {
      podUid: pod.metadata.uid ?? "",
      containerId: latest.id,
      kind,
      stop: new AbortController(),
      state: adoptedState(kind, latest, previous),
    };
    this.#workers.set(key, worker);
    const target = { pod, container, probe, startedAt: latest.startedAt };
    this.#run(worker, target).catch((error: unknown) => {
      if (!worker.stop.signal.aborted) {
        this.#options.log.error({ err: error, pod: pod.metadata.name, container: container.name }, "probe loop failed");
      }
    });
  }

  async #run(worker: Worker, target: ProbeTarget): Promise<void> {
    const { clock } = this.#options;
    const { signal } = worker.stop;
    const { initialDelayMs, periodMs } = probeTiming(target.probe);
    // What runs already has waited; a start in the future tells of a clock that was set back, not of a longer delay.
    const ranMs = Math.max(0, clock.now() - target.startedAt);
    await clock.sleep(Math.max(0, initialDelayMs - ranMs), signal);
    // Quick attempts until the first success: see quickWaitMs.
    const quick = worker.kind !== "liveness" && (target.probe.successThreshold ?? 1) === 1;
    let nextCountedAt = clock.monotonicMs();
    for (let attempt = 0; !worker.state.held; attempt++) {
      const counted = clock.monotonicMs() >= nextCountedAt;
      if (counted) nextCountedAt = clock.monotonicMs() + periodMs;
      if (worker.kind === "startup" || this.started(worker.containerId) !== false) {
        await this.#probeOnce(worker, target, counted);
      } else attempt = -1;
      const hurried = quick && worker.state.outcome !== "success" && worker.state.last !== "success" && attempt < 8;
      const waitMs = Math.max(0, nextCountedAt - clock.monotonicMs());
      await clock.sleep(hurried ? Math.min(waitMs, quickWaitMs(attempt, periodMs)) : waitMs, signal);
    }
  }

  async #probeOnce(worker: Worker, target: ProbeTarget, counted: boolean): Promise<void> {
    const { clock, counts } = this.#options;
    const askedAt = clock.monotonicMs();
    const answer = await this.#ask(worker, target);
    if (!worker.stop.signal.aborted) {
      counts?.observe(target.pod, target.container, worker.kind, answer.result, clock.monotonicMs() - askedAt);
    }
    if (worker.stop.signal.aborted) return;
    if (answer.result !== "success" && !counted) return;
    if (answer.result !== "success" || answer.warning === true) this.#report(worker, target, answer);
    const before = worker.state.outcome;
    worker.state = advanceProbe(worker.kind, target.probe, worker.state, answer.result);
    if (worker.state.outcome !== before) this.#options.onChange(worker.podUid);
  }

  #report(worker: Worker, { pod, container }: ProbeTarget, answer: ProbeAnswer): void {
    const event = this.#options.events.container(pod, kindOf(pod, container.name), container.name);
    const title = TITLES[worker.kind];
    if (answer.result === "success")
      return event("Warning", "ProbeWarning", `${title} probe warning: ${answer.output}`);
    const text =
      answer.result === "failure"
        ? `${title} probe failed: ${answer.output}`
        : `${title} probe errored and resulted in unknown state: ${answer.output}`;
    event("Warning", "Unhealthy", text);
  }

  async #ask(worker: Worker, { pod, container, probe }: ProbeTarget): Promise<ProbeAnswer> {
    const { timeoutMs } = probeTiming(probe);
    const podIp = this.#podIp(worker.podUid, pod);
    try {
      if (probe.exec !== undefined) {
        return await runExecProbe(this.#options.runtime, worker.containerId, probe.exec.command ?? [], timeoutMs);
      }
      if (probe.httpGet !== undefined)
        return await runHttpProbe(httpTarget(probe.httpGet, container, podIp), timeoutMs);
      if (probe.tcpSocket !== undefined) {
        const host = probe.tcpSocket.host ?? "";
        return await runTcpProbe(host === "" ? podIp : host, resolvePort(probe.tcpSocket.port, container), timeoutMs);
      }
      return await runGrpcProbe(podIp, probe.grpc?.port ?? 0, probe.grpc?.service ?? "", timeoutMs);
    } catch (error) {
      // A probe that can't be made (a port name that no port has) says nothing about the container.
      return { result: "unknown", output: error instanceof Error ? error.message : String(error) };
    }
  }

  /** Tells where a pod's probes go; called whenever its sandbox is observed. */
  setPodIp(podUid: string, ip: string | undefined): void {
    if (ip === undefined) this.#ips.delete(podUid);
    else this.#ips.set(podUid, ip);
  }

  #podIp(podUid: string, pod: Pod): string {
    return pod.spec?.hostNetwork === true ? this.#options.hostIp() : (this.#ips.get(podUid) ?? "");
  }
}

interface ProbeTarget {
  readonly pod: Pod;
  readonly container: Container;
  readonly probe: Probe;
  readonly startedAt: number;
}

/** A container that was ready or started before this kubelet came stays so until a probe says otherwise. */
function adoptedState(kind: ProbeKind, latest: ObservedContainer, previous: readonly ContainerStatus[]): ProbeState {
  const state = initialProbeState(kind);
  const before = previous.find((s) => s.containerID?.endsWith(latest.id) === true);
  if (kind === "readiness" && before?.ready === true) return { ...state, outcome: "success", last: "success", run: 1 };
  if (kind === "startup" && before?.started === true)
    return { ...state, outcome: "success", last: "success", held: true };
  return state;
}
