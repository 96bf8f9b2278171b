/**
 * Wires the scheduler: API client -> informers -> Scheduler -> bindings, events, conditions.
 *
 * Runs only while it leads; a process that loses the lease ends with an error and is started anew by its supervisor.
 */
import { createHash, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { hostname } from "node:os";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { Client } from "@knarr/client/client.ts";
import { DelegatedAuthorization } from "@knarr/client/delegated-authorization.ts";
import { EventRecorder } from "@knarr/client/event-recorder.ts";
import { InformerSet } from "@knarr/client/informer.ts";
import { loadKubeconfig } from "@knarr/client/kubeconfig.ts";
import { LeadershipLostError, runLeaderElection } from "@knarr/client/leader-election.ts";
import { type HealthServer, serveHealth } from "@knarr/daemon/health-server.ts";
import type { DaemonContext } from "@knarr/daemon/run-daemon.ts";
import { runGroup } from "@knarr/daemon/run-group.ts";
import { selfSignedCertificate } from "@knarr/daemon/self-signed.ts";
import { loadTlsFiles } from "@knarr/daemon/tls-files.ts";
import { informerListers, podInformer, subscribe } from "./adapters/informers.ts";
import { apiPreempt } from "./adapters/preempt.ts";
import { apiReports } from "./adapters/reports.ts";
import { apiWrites } from "./adapters/writes.ts";
import { ADDRESS_ANNOTATION, advertisedAddress, CERTIFICATE_ANNOTATION } from "./advertise.ts";
import type { Config } from "./config/config.ts";
import { buildFramework } from "./config/profile.ts";
import { renderConfig } from "./config/render-config.ts";
import { DecisionLog } from "./core/decisions.ts";
import { Nominations } from "./core/nominations.ts";
import { schedulerNameOf } from "./core/pod-info.ts";
import { answerDecision, DECISIONS_PATH } from "./decision-handler.ts";
import { createMetrics, type SchedulerMetrics } from "./metrics.ts";
import { Scheduler } from "./scheduler.ts";

/** One event per binding: they keep up with bindings, and a burst of them may wait. */
const EVENTS = { writers: 4, maxQueued: 5000 } as const;
const USER_AGENT = "kube-scheduler/v1.36.0 knarr";

/** What the HTTPS port shows of the scheduler, while there is one. */
interface Shown {
  scheduler: Scheduler | undefined;
  readonly decisions: DecisionLog;
  readonly metrics: SchedulerMetrics;
  readonly isReady: () => boolean;
  synced: boolean;
}

export async function run(config: Config, context: DaemonContext): Promise<void> {
  const { clock, signal } = context;
  const kubeconfig = loadKubeconfig({ ...(config.kubeconfig === "" ? {} : { path: config.kubeconfig }), clock });
  const client = new Client(kubeconfig, { clock, userAgent: USER_AGENT });
  const shown: Shown = {
    scheduler: undefined,
    decisions: new DecisionLog(),
    metrics: createMetrics(),
    // A follower is ready to take over; a leader is ready once it knows the cluster.
    isReady: () => shown.scheduler === undefined || shown.synced,
    synced: false,
  };
  // Of the server alone: it ends with its task, also when that is stopped because leadership was lost.
  const serving = new AbortController();
  try {
    const server =
      config.securePort === 0
        ? undefined
        : await serveHttps(config, client, shown, { ...context, signal: serving.signal });
    const annotations = server === undefined ? {} : server.annotations;
    const health = async (stop: AbortSignal) => {
      const close = () => serving.abort(stop.reason);
      if (stop.aborted) close();
      else stop.addEventListener("abort", close, { once: true });
      await server?.closed;
    };
    await runGroup(signal, {
      scheduling: (stop) => lead(config, { client, shown, annotations, context: { ...context, signal: stop } }),
      ...(server === undefined ? {} : { health }),
    });
  } finally {
    serving.abort();
    client.close();
  }
}

interface Work {
  readonly client: Client;
  readonly shown: Shown;
  readonly annotations: Readonly<Record<string, string>>;
  readonly context: DaemonContext;
}

/** Schedules while holding the lease, or at once without leader election. */
async function lead(config: Config, work: Work): Promise<void> {
  const { clock, log, signal } = work.context;
  const { enabled, namespace, name, ...timing } = config.leaderElection;
  if (!enabled) return schedule(config, work, () => true);
  await runLeaderElection({
    client: work.client,
    lease: { namespace, name },
    identity: `${hostname()}_${crypto.randomUUID()}`,
    ...timing,
    annotations: work.annotations,
    clock,
    log,
    signal,
    onNewLeader: (leader) => log.info({ leader }, "new leader"),
    lead: (leading, isLeading) =>
      schedule(config, { ...work, context: { ...work.context, signal: leading } }, isLeading),
  });
}

/** Its clients refuse to write once the lease may be another's, whatever is still in flight. */
async function schedule(config: Config, work: Work, isLeading: () => boolean): Promise<void> {
  const { clock, log, signal } = work.context;
  const { shown } = work;
  const client = new Client(work.client.config, {
    clock,
    userAgent: USER_AGENT,
    rateLimit: config.rateLimit,
    beforeWrite() {
      if (!isLeading()) throw new LeadershipLostError("leader election lost: nothing may be written any more");
    },
  });
  const informers = new InformerSet(client, { clock, log });
  const scheduler = makeScheduler(config, { client, informers, shown, context: work.context });
  subscribe(informers, scheduler);
  shown.scheduler = scheduler;
  try {
    await runGroup(signal, {
      informers: (stop) => informers.run(stop),
      scheduler: async (stop) => {
        // Placing pods before everything is known would overcommit nodes and miss volumes.
        await informers.waitForSync(stop);
        shown.synced = true;
        log.info({ profiles: config.profiles.map(({ schedulerName }) => schedulerName) }, "scheduling");
        await scheduler.run(stop);
      },
    });
  } finally {
    shown.scheduler = undefined;
    shown.synced = false;
    client.close();
  }
}

function makeScheduler(
  config: Config,
  of: {
    readonly client: Client;
    readonly informers: InformerSet;
    readonly shown: Shown;
    readonly context: DaemonContext;
  },
): Scheduler {
  const { client, informers, shown } = of;
  const { clock, log, signal } = of.context;
  const pods = podInformer(informers);
  const currentPod = (namespace: string, name: string) => pods.get({ namespace, name });
  const recorders = new Map<string, EventRecorder>();
  const recorderFor = (pod: Pod) => {
    const component = schedulerNameOf(pod);
    let recorder = recorders.get(component);
    if (recorder === undefined) {
      recorder = new EventRecorder({ client, component, clock, log, ...EVENTS });
      recorders.set(component, recorder);
    }
    return recorder;
  };
  const nominations = new Nominations();
  const preempting = new Set<string>();
  const handle = {
    listers: informerListers(informers),
    writes: apiWrites(client),
    nominations,
    clock,
    random: Math.random,
    isPreempting: (id: string) => preempting.has(id),
  };
  return new Scheduler({
    frameworks: new Map(config.profiles.map((profile) => [profile.schedulerName, buildFramework(profile, handle)])),
    nominations,
    preempting,
    preempt: apiPreempt({ client, recorderFor, clock }),
    reports: apiReports({ client, recorderFor, currentPod, clock, log, signal }),
    decisions: shown.decisions,
    metrics: shown.metrics,
    clock,
    log,
    initialBackoffMs: config.initialBackoffMs,
    maxBackoffMs: config.maxBackoffMs,
    maxUnschedulableMs: config.maxUnschedulableMs,
    percentageOfNodesToScore: config.percentageOfNodesToScore,
    currentPod,
  });
}

async function serveHttps(
  config: Config,
  client: Client,
  shown: Shown,
  { clock, log, signal }: DaemonContext,
): Promise<HealthServer & { readonly annotations: Readonly<Record<string, string>> }> {
  const pair =
    config.tls === undefined
      ? await selfSignedCertificate("kube-scheduler", ["localhost", "127.0.0.1"], clock.now())
      : await loadTlsFiles(config.tls);
  const { cert, key } = pair;
  const clients = config.clientCaFile === "" ? {} : { ca: await readFile(config.clientCaFile), requestCert: true };
  const authorization = new DelegatedAuthorization({
    client,
    clock,
    alwaysAllow: config.authorizationAlwaysAllowPaths,
  });
  const server = await serveHealth({
    host: config.bindAddress,
    port: config.securePort,
    tls: { cert, key, ...clients, rejectUnauthorized: false },
    checks: {
      livez: { ping: () => undefined },
      readyz: { ping: () => undefined, "sched-handler-sync": () => (shown.isReady() ? undefined : "not synced") },
    },
    registry: shown.metrics.registry,
    handlers: {
      [DECISIONS_PATH]: (request, response) => answerDecision(shown, request, response),
      "/configz": (_request, response) => {
        response.setHeader("content-type", "application/json");
        response.end(JSON.stringify(renderConfig(config)));
      },
    },
    authorize: (request, path) => {
      if (path === "/metrics") shown.scheduler?.reportSizes();
      return authorization.authorize(request, path);
    },
    signal,
    log,
  });
  log.info({ port: server.port }, "serving health, metrics and decisions");
  const fingerprint = createHash("sha256").update(new X509Certificate(cert).raw).digest("hex");
  const address = advertisedAddress(config.bindAddress, server.port);
  return { ...server, annotations: { [ADDRESS_ANNOTATION]: address, [CERTIFICATE_ANNOTATION]: fingerprint } };
}
