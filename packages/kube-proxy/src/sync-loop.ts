/**
 * Decides when to sync and does it: at once when something changed (changes that come together go together), and every
 * sync period a comparison with the kernel. Failures are repeated with growing waits; the old rules stay meanwhile.
 */
import { networkInterfaces } from "node:os";
import type { Node } from "@knarr/api/generated/types/core-v1.ts";
import { Backoff } from "@knarr/daemon/backoff.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import { deleteFlows, listFlows } from "@knarr/netfilter/conntrack.ts";
import { familyOf, type IpFamily, prefixContains } from "@knarr/netfilter/ip.ts";
import { CommandError } from "@knarr/netfilter/run-command.ts";
import type { Backend, ProxyMode, SyncOutcome, SyncRequest } from "./adapters/backend.ts";
import type { ProxyMetrics } from "./adapters/metrics.ts";
import type { ServiceHealth, ServiceHealthServers } from "./adapters/service-health.ts";
import { readSysctl } from "./adapters/sysctls.ts";
import type { Config } from "./config.ts";
import { DUMMY_INTERFACE } from "./core/ipvs/layout.ts";
import type { LocalDetector, PlanOptions } from "./core/plan-service.ts";
import type { PlannedPort, ServiceView } from "./core/planned-port.ts";
import type { ProxyHealth } from "./core/proxy-health.ts";
import { findStaleFlows } from "./core/stale-flows.ts";
import type { PendingChanges } from "./pending-changes.ts";
import type { ChangedViews } from "./service-views.ts";

/** Changes within this time of the first go into one sync: a rolling update's slices come in bursts. */
const COALESCE_MS = 10;
/** A comparison with the kernel may take at most this part of the time: at 10,000 Services it takes seconds. */
const COMPARE_SHARE = 0.02;

export interface ClusterView {
  /** In a stable order. */
  readonly services: readonly ServiceView[];
  /** What is not as it was in the view before. */
  readonly changed: ChangedViews;
  readonly node: Node | undefined;
}

export interface SyncLoopOptions {
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: ProxyMetrics;
  readonly health: ProxyHealth;
  readonly pending: PendingChanges;
  readonly serviceHealth: ServiceHealthServers;
  readonly backends: readonly Backend[];
  /** Called once, when this mode's rules stand: until then the old mode's rules keep Services reachable. */
  readonly removeOtherModes: (signal: AbortSignal) => Promise<void>;
  readonly isSynced: () => boolean;
  readonly view: () => ClusterView;
}

export class SyncLoop {
  readonly #o: SyncLoopOptions;
  readonly #backoff: Backoff;
  #nextCompareMs = 0;
  #isAlone = false;
  #missed = true;
  #conntrackMissing = false;

  constructor(options: SyncLoopOptions) {
    this.#o = options;
    const maxMs = options.config.syncPeriodMs;
    this.#backoff = new Backoff({ initialMs: 100, maxMs, factor: 2, jitter: 0.1 });
  }

  /** Runs until the signal aborts; rejects with its reason. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, config, log, metrics, pending } = this.#o;
    for (;;) {
      const compare = clock.monotonicMs() >= this.#nextCompareMs;
      const { triggerTimesMs } = pending.take();
      try {
        await this.#syncAll(compare, signal);
        if (!this.#isAlone) await this.#o.removeOtherModes(signal);
        this.#isAlone = true;
        this.#backoff.reset();
        for (const at of triggerTimesMs) {
          for (const { family } of this.#o.backends) {
            const ip_family = family === "ipv4" ? "IPv4" : "IPv6";
            metrics.programmingSeconds.observe({ ip_family }, Math.max(0, clock.now() - at) / 1000);
          }
        }
      } catch (error) {
        if (!(error instanceof CommandError)) throw error;
        const retryMs = this.#backoff.next();
        log.error({ err: error, retryMs }, "writing rules failed");
        pending.again();
        await clock.sleep(retryMs, signal);
        continue;
      }
      await clock.sleep(config.minSyncPeriodMs, signal);
      await this.#untilNext(signal);
    }
  }

  /** Waits for a change, and then for what comes with it; or for the time to compare. */
  async #untilNext(signal: AbortSignal): Promise<void> {
    const { clock, pending } = this.#o;
    const timer = new AbortController();
    const waitMs = this.#nextCompareMs - clock.monotonicMs();
    const slept = clock.sleep(waitMs, AbortSignal.any([signal, timer.signal])).then(
      () => false,
      () => true,
    );
    const changed = await Promise.race([slept, pending.changed.then(() => true)]);
    timer.abort();
    signal.throwIfAborted();
    if (changed) await clock.sleep(COALESCE_MS, signal);
  }

  async #syncAll(compare: boolean, signal: AbortSignal): Promise<void> {
    const { backends, clock, config, health, serviceHealth, view } = this.#o;
    if (!this.#o.isSynced()) throw new Error("synced before the caches were");
    const startedMs = clock.now();
    const cluster = view();
    const begun = clock.monotonicMs();
    // After a failure a backend may have missed what was taken then, so it gets everything.
    const changed = this.#missed ? undefined : cluster.changed;
    this.#missed = true;
    for (const backend of backends) {
      const outcome = await this.#syncBackend(backend, cluster, { full: compare, changed, signal });
      if (backend === backends[0]) serviceHealth.sync(healthChecks(outcome.ports));
    }
    this.#missed = false;
    if (compare) {
      const spentMs = clock.monotonicMs() - begun;
      this.#nextCompareMs = clock.monotonicMs() + Math.max(config.syncPeriodMs, spentMs / COMPARE_SHARE);
    }
    health.updated(clock.now(), startedMs);
  }

  async #syncBackend(backend: Backend, { services, node }: ClusterView, request: SyncRequest): Promise<SyncOutcome> {
    const { clock, log, metrics } = this.#o;
    const family = { ip_family: backend.family === "ipv4" ? "IPv4" : "IPv6" };
    const begun = clock.monotonicMs();
    try {
      const options = await this.#planOptions(backend, node);
      const outcome = await backend.sync(services, options, request);
      const seconds = (clock.monotonicMs() - begun) / 1000;
      metrics.syncSeconds.observe(family, seconds);
      (outcome.full ? metrics.fullSyncSeconds : metrics.partialSyncSeconds).observe(family, seconds);
      this.#report(outcome, family);
      const { full, changedChains, deletedChains, changedElements } = outcome;
      if (changedChains + deletedChains + changedElements > 0) {
        log.debug({ ...family, seconds, full, changedChains, deletedChains, changedElements }, "rules written");
      }
      await this.#removeStaleFlows(backend.family, outcome, request.signal);
      return outcome;
    } catch (error) {
      if (error instanceof CommandError) metrics.countFailure(backend, request.full);
      throw error;
    }
  }

  #report(outcome: SyncOutcome, family: { readonly ip_family: string }): void {
    const { clock, metrics } = this.#o;
    metrics.lastSync.set(family, clock.now() / 1000);
    metrics.rulesLastSync.set(family, outcome.ruleLines);
    for (const [table, count] of Object.entries(outcome.rules)) metrics.rules.set({ ...family, table }, count);
    for (const policy of ["internal", "external"] as const) {
      const count = outcome.ports.filter(({ plan }) => plan.withoutLocal[policy]).length;
      metrics.withoutLocalEndpoints.set({ ...family, traffic_policy: policy }, count);
    }
  }

  async #planOptions({ mode, family }: Backend, node: Node | undefined): Promise<PlanOptions> {
    const { config } = this.#o;
    const nodeIps = (node?.status?.addresses ?? [])
      .filter((address) => address.type === "InternalIP" && familyOf(address.address) === family)
      .map((address) => address.address);
    return {
      family,
      nodeName: config.nodeName,
      zone: node?.metadata.labels?.["topology.kubernetes.io/zone"] ?? "",
      nodeIps,
      localDetector: this.#localDetector(family, node),
      masqueradeAll: config.masqueradeAll,
      masqueradeMark: config.masqueradeMark,
      randomFully: true,
      localhostNodePorts: config.localhostNodePorts,
      nodePortIps: this.#nodePortIps(mode, family, nodeIps),
      dropInvalid: (await readSysctl("netfilter/nf_conntrack_tcp_be_liberal")) !== 1,
    };
  }

  #localDetector(family: IpFamily, node: Node | undefined): LocalDetector {
    const { detectLocal } = this.#o.config;
    switch (detectLocal.kind) {
      case "interface":
        return { kind: "interface", name: detectLocal.name };
      case "nodeCidr": {
        const prefix = node?.spec?.podCIDRs?.find((cidr) => familyOf(cidr) === family);
        return prefix === undefined ? { kind: "none" } : { kind: "prefix", prefix };
      }
      case "clusterCidr": {
        const prefix = detectLocal.prefixes[family];
        return prefix === undefined ? { kind: "none" } : { kind: "prefix", prefix };
      }
      default:
        throw new TypeError(`unknown detection ${JSON.stringify(detectLocal satisfies never)}`);
    }
  }

  #nodePortIps(mode: ProxyMode, family: IpFamily, nodeIps: readonly string[]): readonly string[] | undefined {
    const { nodePortAddresses } = this.#o.config;
    const localhostNodePorts = this.#o.config.localhostNodePorts && mode === "iptables";
    // Source: KEP-3866, which made the node's own addresses the default of the new mode only.
    if (nodePortAddresses === undefined && mode !== "ipvs") return mode === "nftables" ? nodeIps : undefined;
    if (nodePortAddresses === "primary") return nodeIps;
    const own = Object.entries(networkInterfaces()).flatMap(([name, addresses]) =>
      name === DUMMY_INTERFACE ? [] : (addresses ?? []),
    );
    return own
      .filter((own) => familyOf(own.address) === family && !/^fe80:/i.test(own.address))
      .filter((own) => !own.internal || (family === "ipv4" && localhostNodePorts))
      .map((own) => own.address)
      .filter((address) => nodePortAddresses?.some((prefix) => prefixContains(prefix, address)) ?? true);
  }

  /** Only when UDP ports changed: listing connections costs more than most syncs. */
  async #removeStaleFlows(family: IpFamily, outcome: SyncOutcome, signal: AbortSignal): Promise<void> {
    const { log, metrics } = this.#o;
    if (this.#conntrackMissing || !outcome.changedPorts.some(({ port }) => port.protocol === "udp")) return;
    try {
      const flows = await listFlows("udp", family, signal);
      for (const stale of findStaleFlows(flows, outcome.ports)) {
        const deleted = await deleteFlows(stale, family, signal);
        metrics.deletedFlows.inc({ ip_family: family === "ipv4" ? "IPv4" : "IPv6" }, deleted);
      }
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      this.#conntrackMissing = error.reason === "missing";
      // New connections are right already; old UDP clients reach nobody until they pause or the flow times out.
      log.warn({ err: error }, "stale UDP connections could not be removed");
    }
  }
}

function healthChecks(ports: readonly PlannedPort[]): Map<number, ServiceHealth> {
  const checks = new Map<number, ServiceHealth>();
  for (const { port, endpoints } of ports) {
    if (port.healthCheckNodePort === 0) continue;
    const local = endpoints.filter((endpoint) => endpoint.local && endpoint.ready);
    const addresses = new Set(local.map((endpoint) => endpoint.address));
    const { namespace, service: name } = port;
    checks.set(port.healthCheckNodePort, { namespace, name, localEndpoints: addresses.size });
  }
  return checks;
}
