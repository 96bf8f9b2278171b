/**
 * Wires the scheduler: API client -> informers -> Scheduler -> bindings, events, conditions.
 *
 * Inputs: pods that have not ended, nodes. Runs only while it leads; informers run all the time, so that a follower
 * takes over at once.
 */
import { hostname } from "node:os";
import { core } from "@knarr/api/generated/resources.ts";
import { Client } from "@knarr/client/client.ts";
import { EventRecorder } from "@knarr/client/event-recorder.ts";
import { InformerSet } from "@knarr/client/informer.ts";
import { loadKubeconfig } from "@knarr/client/kubeconfig.ts";
import { runLeaderElection } from "@knarr/client/leader-election.ts";
import { serveHealth } from "@knarr/daemon/health-server.ts";
import type { DaemonContext } from "@knarr/daemon/run-daemon.ts";
import { runGroup } from "@knarr/daemon/run-group.ts";
import { selfSignedCertificate } from "@knarr/daemon/self-signed.ts";
import { loadTlsFiles } from "@knarr/daemon/tls-files.ts";
import { apiReports } from "./adapters/reports.ts";
import type { Config } from "./config.ts";
import type { Framework } from "./core/framework.ts";
import { QUEUE_DEFAULTS } from "./core/queue.ts";
import { createMetrics, type SchedulerMetrics } from "./metrics.ts";
import { defaultBinder } from "./plugins/default-binder.ts";
import { defaultFramework } from "./plugins/index.ts";
import { Scheduler } from "./scheduler.ts";

export async function run(config: Config, context: DaemonContext): Promise<void> {
  const { clock, log, signal } = context;
  const client = new Client(await loadKubeconfig(config.kubeconfig === "" ? {} : { path: config.kubeconfig }), {
    clock,
    userAgent: "kube-scheduler/v1.36.0+knarr",
  });
  const metrics = createMetrics();
  const identity = `${hostname()}_${crypto.randomUUID()}`;
  const lead = (leading: AbortSignal) => schedule(config, client, metrics, { clock, log, signal: leading });
  await runGroup(signal, {
    scheduling: (taskSignal) =>
      config.leaderElection.enabled
        ? runLeaderElection({
            client,
            lease: { namespace: config.leaderElection.namespace, name: config.leaderElection.name },
            identity,
            leaseDurationMs: config.leaderElection.leaseDurationMs,
            renewDeadlineMs: config.leaderElection.renewDeadlineMs,
            retryPeriodMs: config.leaderElection.retryPeriodMs,
            clock,
            log,
            signal: taskSignal,
            lead,
          })
        : lead(taskSignal),
    ...(config.securePort === 0 ? {} : { health: (taskSignal) => serveHttps(config, metrics, context, taskSignal) }),
  });
}

async function schedule(
  config: Config,
  client: Client,
  metrics: SchedulerMetrics,
  context: DaemonContext,
): Promise<void> {
  const { clock, log, signal } = context;
  const informers = new InformerSet(client, { clock, log });
  const pods = informers.informer(core.pods, { fieldSelector: "status.phase!=Succeeded,status.phase!=Failed" });
  const nodes = informers.informer(core.nodes);
  const recorder = new EventRecorder({
    client,
    component: config.schedulerNames[0] ?? "default-scheduler",
    clock,
    log,
  });
  const binder = defaultBinder(client);
  const scheduler = new Scheduler({
    frameworks: new Map(
      config.schedulerNames.map((name): [string, Framework] => [name, defaultFramework(name, binder)]),
    ),
    reports: apiReports({ client, recorder, clock, log, signal }),
    metrics,
    clock,
    log,
    initialBackoffMs: config.initialBackoffMs,
    maxBackoffMs: config.maxBackoffMs,
    maxUnschedulableMs: QUEUE_DEFAULTS.maxUnschedulableMs,
    percentageOfNodesToScore: config.percentageOfNodesToScore,
  });
  nodes.subscribe({
    added: (node) => scheduler.onNode(undefined, node),
    updated: (old, node) => scheduler.onNode(old, node),
    deleted: (node) => scheduler.onNode(node, undefined),
  });
  pods.subscribe({
    added: (pod) => scheduler.onPod(undefined, pod),
    updated: (old, pod) => scheduler.onPod(old, pod),
    deleted: (pod) => scheduler.onPod(pod, undefined),
  });
  await runGroup(signal, {
    informers: (taskSignal) => informers.run(taskSignal),
    scheduler: async (taskSignal) => {
      // Placing pods before all pods and nodes are known would overcommit nodes.
      await informers.waitForSync(taskSignal);
      log.info("scheduling");
      await scheduler.run(taskSignal);
    },
  });
}

async function serveHttps(
  config: Config,
  metrics: SchedulerMetrics,
  context: DaemonContext,
  signal: AbortSignal,
): Promise<void> {
  const tls =
    config.tls === undefined
      ? await selfSignedCertificate("kube-scheduler", ["localhost", "127.0.0.1"], context.clock.now())
      : await loadTlsFiles(config.tls);
  const server = await serveHealth({
    host: config.bindAddress,
    port: config.securePort,
    tls: { cert: tls.cert, key: tls.key },
    checks: { livez: { ping: () => undefined }, readyz: { ping: () => undefined } },
    registry: metrics.registry,
    signal,
    log: context.log,
  });
  await server.closed;
}
