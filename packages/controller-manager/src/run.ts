/**
 * The controller manager's frame: health and metrics at once, controllers while leading.
 *
 *   kubeconfig -> client -> [health server] and [leader election -> shared informers + selected controllers]
 *
 * A process that loses the lease ends with an error and is started anew by its supervisor, as upstream's.
 */
import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { hostname } from "node:os";
import { Client } from "@knarr/client/client.ts";
import { DelegatedAuthorization } from "@knarr/client/delegated-authorization.ts";
import { InformerSet } from "@knarr/client/informer.ts";
import { loadKubeconfig } from "@knarr/client/kubeconfig.ts";
import { LeadershipLostError, runLeaderElection } from "@knarr/client/leader-election.ts";
import { runControllers, selectControllers } from "@knarr/controller/run-controllers.ts";
import { WorkQueueMetrics } from "@knarr/controller/work-queue-metrics.ts";
import { UsageError } from "@knarr/daemon/flags.ts";
import { serveHealth } from "@knarr/daemon/health-server.ts";
import type { DaemonContext } from "@knarr/daemon/run-daemon.ts";
import { runGroup } from "@knarr/daemon/run-group.ts";
import { selfSignedCertificate } from "@knarr/daemon/self-signed.ts";
import { loadTlsFiles } from "@knarr/daemon/tls-files.ts";
import { Counter, collectDefaultMetrics, Gauge, Registry } from "prom-client";
import { type Config, validateConfig } from "./config.ts";
import type { Controller, ControllerContext } from "./controller-context.ts";
import { controllers } from "./controllers/index.ts";
import { absentControllers } from "./core/absent-controllers.ts";
import { ServiceAccountClients } from "./service-account-clients.ts";

const USER_AGENT = "kube-controller-manager/v1.36.0 knarr";

export async function run(given: Config, context: DaemonContext): Promise<void> {
  const config = validateConfig(given);
  const selected = select(config);
  const { signal, log, clock } = context;
  const client = new Client(loadKubeconfig({ path: config.kubeconfig, clock }), { clock, userAgent: USER_AGENT });
  const metrics = makeMetrics(clock.monotonicMs);
  try {
    await runGroup(signal, {
      health: async (stop) => {
        const server = await serve(config, { client, registry: metrics.registry, context, stop });
        log.info({ port: server.port }, "serving health and metrics");
        await server.closed;
      },
      controllers: (stop) =>
        lead(config, { client, context, signal: stop, leading: metrics.leading }, (leading, isLeading) =>
          work(config, { client, context, selected, metrics, signal: leading, isLeading }),
        ),
    });
  } finally {
    client.close();
  }
}

function select(config: Config): readonly Controller[] {
  try {
    return selectControllers(controllers, config.controllers, absentControllers);
  } catch (error) {
    if (error instanceof RangeError) throw new UsageError(`invalid value for --controllers: ${error.message}`);
    throw error;
  }
}

interface Metrics {
  readonly registry: Registry;
  readonly queues: WorkQueueMetrics;
  readonly outcomes: Counter<"controller" | "result">;
  readonly leading: Gauge<"name">;
}

function makeMetrics(monotonicMs: () => number): Metrics {
  const registry = new Registry();
  // Its default of 10 ms is most of what an idle daemon does.
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 200 });
  return {
    registry,
    queues: new WorkQueueMetrics(registry, monotonicMs),
    outcomes: new Counter({
      name: "knarr_reconcile_total",
      help: "Reconciles by controller and how they went",
      labelNames: ["controller", "result"],
      registers: [registry],
    }),
    leading: new Gauge({
      name: "leader_election_master_status",
      help: "1 while this process leads, else 0",
      labelNames: ["name"],
      registers: [registry],
    }),
  };
}

async function serve(
  config: Config,
  of: { client: Client; registry: Registry; context: DaemonContext; stop: AbortSignal },
): Promise<Awaited<ReturnType<typeof serveHealth>>> {
  const { log, clock } = of.context;
  const pair =
    config.tlsCertFile === ""
      ? await selfSignedCertificate("localhost", ["localhost", "127.0.0.1"], clock.now())
      : await loadTlsFiles({ certFile: config.tlsCertFile, keyFile: config.tlsPrivateKeyFile });
  const { cert, key } = pair;
  const clients = config.clientCaFile === "" ? {} : { ca: await readFile(config.clientCaFile), requestCert: true };
  const authorization = new DelegatedAuthorization({
    client: of.client,
    clock,
    alwaysAllow: config.authorizationAlwaysAllowPaths,
  });
  return serveHealth({
    host: config.bindAddress,
    port: config.securePort,
    tls: { cert, key, ...clients, rejectUnauthorized: false },
    checks: { livez: { ping: () => undefined }, readyz: {} },
    registry: of.registry,
    authorize: (request, path) => authorization.authorize(request, path),
    signal: of.stop,
    log,
  });
}

/** Runs `work` while holding the lease, or at once without leader election. */
async function lead(
  config: Config,
  of: { client: Client; context: DaemonContext; signal: AbortSignal; leading: Metrics["leading"] },
  run: (signal: AbortSignal, isLeading: () => boolean) => Promise<void>,
): Promise<void> {
  if (!config.leaderElect) return run(of.signal, () => true);
  const { clock, log } = of.context;
  const name = config.leaderElectResourceName;
  of.leading.set({ name }, 0);
  await runLeaderElection({
    client: of.client,
    lease: { namespace: config.leaderElectResourceNamespace, name },
    identity: `${hostname()}_${randomUUID()}`,
    leaseDurationMs: config.leaderElectLeaseDurationMs,
    renewDeadlineMs: config.leaderElectRenewDeadlineMs,
    retryPeriodMs: config.leaderElectRetryPeriodMs,
    clock,
    log,
    signal: of.signal,
    onNewLeader: (leader) => log.info({ leader }, "new leader"),
    lead: async (signal, isLeading) => {
      of.leading.set({ name }, 1);
      try {
        await run(signal, isLeading);
      } finally {
        of.leading.set({ name }, 0);
      }
    },
  });
}

/** The controllers' work. Their clients refuse to write once the lease may be another's, whatever is still in flight. */
async function work(
  config: Config,
  of: {
    client: Client;
    context: DaemonContext;
    selected: readonly Controller[];
    metrics: Metrics;
    signal: AbortSignal;
    isLeading: () => boolean;
  },
): Promise<void> {
  const { metrics } = of;
  const { log, clock } = of.context;
  const resyncMs = config.minResyncPeriodMs * (1 + Math.random());
  const beforeWrite = () => {
    if (!of.isLeading()) throw new LeadershipLostError("leader election lost: nothing may be written any more");
  };
  const client = new Client(of.client.config, { clock, userAgent: USER_AGENT, beforeWrite });
  const informers = new InformerSet(client, { resyncMs, clock, log });
  const accounts = new ServiceAccountClients(client, { clock, beforeWrite });
  const contextFor = ({ name, serviceAccount = name, ownClient = false }: Controller): ControllerContext => ({
    name,
    client: config.useServiceAccountCredentials && !ownClient ? accounts.clientFor(serviceAccount) : client,
    informers,
    config,
    clock,
    log: log.child({ controller: name }),
    queueMetrics: metrics.queues,
    registry: metrics.registry,
    observe: (result) => metrics.outcomes.inc({ controller: name, result }),
  });
  log.info({ controllers: of.selected.map(({ name }) => name) }, "starting controllers");
  try {
    await runGroup(of.signal, {
      informers: (stop) => informers.run(stop),
      controllers: (stop) => runControllers(of.selected, contextFor, stop),
    });
  } finally {
    accounts.close();
    client.close();
  }
}
