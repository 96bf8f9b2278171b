/**
 * The one loop: Nodes -> plan -> apply -> report.
 *
 * Inputs: all Nodes of the cluster, the node's links, a timer for the comparison with the kernel. Nothing is removed
 * before the Nodes are synced, and everything stays when the API server can't be reached.
 */
import { core } from "@knarr/api/generated/resources.ts";
import type { Node } from "@knarr/api/generated/types/core-v1.ts";
import { Client } from "@knarr/client/client.ts";
import { inClusterConfig } from "@knarr/client/in-cluster-config.ts";
import { Informer } from "@knarr/client/informer.ts";
import { loadKubeconfig } from "@knarr/client/kubeconfig.ts";
import { Backoff } from "@knarr/daemon/backoff.ts";
import { serveHealth } from "@knarr/daemon/health-server.ts";
import type { DaemonContext } from "@knarr/daemon/run-daemon.ts";
import { runGroup, type Task } from "@knarr/daemon/run-group.ts";
import { Counter, collectDefaultMetrics, Gauge, Registry } from "prom-client";
import { FilterRules } from "./adapters/filter-rules.ts";
import { readLinks } from "./adapters/kernel.ts";
import { hasNetworkCondition, setNetworkAvailable } from "./adapters/node-condition.ts";
import { applyNetwork } from "./apply-network.ts";
import type { Config } from "./config.ts";
import { planNetwork } from "./core/plan-network.ts";

/** Nodes' heartbeats change them often; changes within this time of the first go into one sync. */
const COALESCE_MS = 50;

export async function run(config: Config, context: DaemonContext): Promise<void> {
  const { clock, log, signal } = context;
  if (config.network === "none") return runNothing(config, context);
  const rest = config.kubeconfig === "" ? inClusterConfig() : loadKubeconfig({ path: config.kubeconfig });
  const client = new Client(rest, { userAgent: "knarr-pod-network/v1.36.0" });
  const nodes = new Informer<Node>(client, core.nodes, { clock, log });
  const network = new PodNetwork(config, context, client, nodes);
  const tasks: Record<string, Task> = {};
  if (config.healthz !== undefined) {
    const at = config.healthz;
    tasks.healthz = async (s) => {
      const checks = { livez: {}, readyz: { network: () => network.problem } };
      const server = await serveHealth({ ...at, checks, registry: network.registry, signal: s, log });
      await server.closed;
    };
  }
  tasks.nodes = (s) => nodes.run(s);
  tasks.sync = async (s) => {
    await nodes.waitForSync(s);
    await network.run(s);
  };
  await runGroup(signal, tasks);
}

/** The network is another's: healthy, and idle. */
async function runNothing(config: Config, { signal, log }: DaemonContext): Promise<void> {
  log.info("network is left to another CNI");
  const stopped = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
  if (config.healthz === undefined) return stopped;
  const server = await serveHealth({ ...config.healthz, checks: { livez: {}, readyz: {} }, signal, log });
  await server.closed;
}

class PodNetwork {
  readonly registry = new Registry();
  readonly #config: Config;
  readonly #context: DaemonContext;
  readonly #client: Client;
  readonly #nodes: Informer<Node>;
  readonly #filterRules = new FilterRules();
  readonly #backoff: Backoff;
  readonly #failures: Counter;
  readonly #routes: Gauge;
  #problem: string | undefined = "not synced yet";
  #wake = Promise.withResolvers<void>();

  constructor(config: Config, context: DaemonContext, client: Client, nodes: Informer<Node>) {
    this.#config = config;
    this.#context = context;
    this.#client = client;
    this.#nodes = nodes;
    this.#backoff = new Backoff({ initialMs: 200, maxMs: config.syncPeriodMs });
    const registers = [this.registry];
    this.#failures = new Counter({ name: "knarr_pod_network_sync_failures_total", help: "Failed syncs", registers });
    this.#routes = new Gauge({
      name: "knarr_pod_network_routes",
      help: "Routes to other nodes' pods",
      labelNames: ["kind"],
      registers,
    });
    // Its default of 10 ms is most of what an idle daemon does.
    collectDefaultMetrics({ register: this.registry, eventLoopMonitoringPrecision: 200 });
    const wake = () => this.#wake.resolve();
    nodes.subscribe({
      added: wake,
      updated: (old, node) => {
        if (networkFacts(old) !== networkFacts(node)) wake();
      },
      deleted: wake,
    });
  }

  /** What keeps the network from being ready, for /readyz. */
  get problem(): string | undefined {
    return this.#problem;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#context;
    for (;;) {
      this.#wake = Promise.withResolvers<void>();
      let waitMs = this.#config.syncPeriodMs;
      try {
        this.#problem = await this.#sync(signal);
        this.#backoff.reset();
      } catch (error) {
        signal.throwIfAborted();
        // Kernel tools and the API server fail in many ways; each is retried, and readiness says so meanwhile.
        waitMs = this.#backoff.next();
        this.#failures.inc();
        this.#problem = error instanceof Error ? error.message : String(error);
        log.error({ err: error, retryMs: waitMs }, "pod network sync failed");
      }
      const timer = new AbortController();
      const slept = clock.sleep(waitMs, AbortSignal.any([signal, timer.signal])).catch(() => {});
      await Promise.race([slept, this.#wake.promise]);
      timer.abort();
      await clock.sleep(COALESCE_MS, signal);
    }
  }

  /** undefined when all is as it should be, else what is missing. */
  async #sync(signal: AbortSignal): Promise<string | undefined> {
    const { log, clock } = this.#context;
    const own = this.#nodes.get({ namespace: "", name: this.#config.nodeName });
    const links = await readLinks([this.#config.bridge], signal);
    const plan = planNetwork(own, this.#nodes.list(), links, this.#config);
    if ("notYet" in plan || own === undefined) {
      const reason = "notYet" in plan ? plan.notYet : "";
      if (this.#problem !== reason) log.info({ reason }, "waiting for this node's pod range");
      return reason;
    }
    const { cniConfDir } = this.#config;
    await applyNetwork(plan, { cniConfDir, filterRules: this.#filterRules, log, signal });
    const tunnelled = plan.routes.filter((route) => route.device !== undefined).length;
    this.#routes.set({ kind: "direct" }, plan.routes.length - tunnelled);
    this.#routes.set({ kind: "vxlan" }, tunnelled);
    if (!hasNetworkCondition(own)) await setNetworkAvailable(this.#client, own, { nowMs: clock.now(), signal });
    return undefined;
  }
}

/** What of a Node matters here; heartbeats do not. */
function networkFacts(node: Node): string {
  return JSON.stringify([node.spec?.podCIDR, node.spec?.podCIDRs, node.status?.addresses, hasNetworkCondition(node)]);
}
