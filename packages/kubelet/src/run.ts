/**
 * Puts the kubelet together and runs it. Inputs: pods from the API server and from the manifest folder, the runtime's
 * state (relist, events), probe verdicts, changes of ConfigMaps and Secrets in use, requests on 10250, the clock.
 * Outputs: calls to the runtime, files below --root-dir and --pod-log-dir, cgroups, pod and node statuses, the lease, events.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { core } from "@knarr/api/generated/resources.ts";
import type { Node, Pod } from "@knarr/api/generated/types/core-v1.ts";
import { keyOf } from "@knarr/apimachinery/object.ts";
import type { Client } from "@knarr/client/client.ts";
import { EventRecorder } from "@knarr/client/event-recorder.ts";
import { Informer } from "@knarr/client/informer.ts";
import { openRuntime } from "@knarr/cri/open-runtime.ts";
import type { Runtime } from "@knarr/cri/runtime.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import type { DaemonContext } from "@knarr/daemon/run-daemon.ts";
import { runGroup, type Task } from "@knarr/daemon/run-group.ts";
import { Cgroups, cgroupVersion } from "./adapters/cgroups.ts";
import { makeShared } from "./adapters/mounts.ts";
import { ensureKubeconfig, nodeCertificates, type ServingCertificate } from "./certificates/node-certificates.ts";
import type { ClaimManager } from "./claims/claim-manager.ts";
import { makeDynamicResources } from "./claims/dynamic-resources.ts";
import type { Config } from "./config.ts";
import { CrashBackoff } from "./core/crash-backoff.ts";
import { CpuManager } from "./cpu-manager/cpu-manager.ts";
import { DeviceManager } from "./devices/device-manager.ts";
import { ImagePuller } from "./images/image-puller.ts";
import { PulledRecords } from "./images/pulled-records.ts";
import { tellCapabilities } from "./node/capabilities.ts";
import { enforceAllocatable } from "./node/enforce-allocatable.ts";
import { makeNodeCare, type NodeCare } from "./node/node-care.ts";
import { nodeEvents } from "./node/node-events.ts";
import { runNodeLease } from "./node/node-lease.ts";
import { NodeState } from "./node/node-state.ts";
import { runNodeStatus } from "./node/register-node.ts";
import { Wake } from "./node/wake.ts";
import { runPodResources } from "./pod-resources/run-pod-resources.ts";
import { CachedApiObjects, noApiObjects } from "./pods/api-objects.ts";
import { followPods, isMirror, podInformer } from "./pods/api-source.ts";
import { runHousekeeping } from "./pods/housekeeping.ts";
import { runLogRotation } from "./pods/log-rotation.ts";
import { runMirrors } from "./pods/mirror-pods.ts";
import type { PodContext, PodCounts } from "./pods/pod-context.ts";
import { type EventSink, PodEvents } from "./pods/pod-events.ts";
import { PodMounts } from "./pods/pod-mounts.ts";
import { PodSet } from "./pods/pod-set.ts";
import { Relist } from "./pods/relist.ts";
import { StaticPods } from "./pods/static-pods.ts";
import { LocalStatus, StatusWriter } from "./pods/status-writer.ts";
import { timedRuntime } from "./pods/timed-runtime.ts";
import { idsForPods, UserNamespaces } from "./pods/user-namespaces.ts";
import { Prober } from "./probes/prober.ts";
import { KubeletMetrics } from "./server/kubelet-metrics.ts";
import { ProbeMetrics } from "./server/probe-metrics.ts";
import { runServers } from "./server/run-servers.ts";

/** The kubelet's side of the API server; undefined when it runs on its own. */
interface Upstream {
  readonly client: Client;
  readonly pods: Informer<Pod>;
  readonly node: Informer<Node>;
  readonly objects: CachedApiObjects;
  readonly status: StatusWriter;
  readonly events: EventRecorder;
  readonly certificate: ServingCertificate | undefined;
  readonly claims: ClaimManager;
  readonly tasks: Record<string, Task>;
}

export async function runKubelet(config: Config, daemon: DaemonContext): Promise<void> {
  const { clock, log, signal } = daemon;
  await tellCapabilities(log);
  await mkdir(config.rootDir, { recursive: true, mode: 0o750 });
  await mkdir(config.podLogDir, { recursive: true });
  await makeShared(config.rootDir);
  const opened = await openRuntime(config.containerRuntimeEndpoint, {
    requestTimeoutMs: config.runtimeRequestTimeoutMs,
    stateDirectory: join(config.rootDir, "docker"),
    cniConfDir: config.cniConfDir,
    cniBinDirs: config.cniBinDir,
    ...(config.podInfraContainerImage === "" ? {} : { sandboxImage: config.podInfraContainerImage }),
  });
  // Read by npm run bench:pods.
  const timed = log.isLevelEnabled("trace");
  const metrics = new KubeletMetrics(clock);
  const counted = metrics.watch(opened);
  const runtime = timed ? timedRuntime(counted, clock, (call) => log.trace(call, "runtime call")) : counted;
  const runtimeName = await waitForRuntime(runtime, daemon);
  let pods: PodSet | undefined;
  let care: NodeCare | undefined;
  const pressures = () => care?.eviction.conditions ?? [];
  const goingDown = () => care?.shutdown.isGoingDown ?? false;
  const kick = (uid: string) => pods?.kick(uid);
  const retry = (uid: string) => pods?.retry(uid);
  const onRelist = (ms: number, sinceLastMs: number | undefined) => metrics.pods.relisted(ms, sinceLastMs);
  const relist = new Relist({ runtime, clock, log, onChange: kick, onRelist });
  const statusDue = new Wake();
  let sourcesSynced = () => false;
  const live = () => (sourcesSynced() ? pods?.live : undefined);
  const devices = new DeviceManager({
    directory: join(config.rootDir, "device-plugins"),
    clock,
    log,
    timeoutMs: config.runtimeRequestTimeoutMs,
    onChange: () => statusDue.ring(),
    active: live,
  });
  await devices.load();
  const cpus = await CpuManager.load(
    {
      rootDir: config.rootDir,
      runtime,
      clock,
      log,
      reconcilePeriodMs: config.cpuManagerReconcilePeriodMs,
      active: live,
      containers: () => relist.snapshot?.containers ?? [],
    },
    config,
  );
  const deviceAmounts = () => devices.amounts();
  const state = await NodeState.create({
    ...{ config, runtime, clock, log, relist: () => relist, pressures, goingDown, devices: deviceAmounts },
  });
  await state.refresh();
  const statics = makeStatics(config, daemon, () => pods);
  const upstream =
    config.kubeconfig === ""
      ? undefined
      : await connect(config, daemon, { statics, retry, live, addresses: () => state.hostIps });
  const probeMetrics = new ProbeMetrics(clock.now());
  const context = await makeContext({
    config,
    daemon,
    runtime,
    runtimeName,
    state,
    devices,
    cpus,
    upstream,
    probeMetrics,
    kick,
    counts: metrics.pods,
  });
  const nodeOf = () => upstream?.node.get({ namespace: "", name: config.nodeName });
  const set = new PodSet(context, {
    node: nodeOf,
    fetchNode: upstream && (() => upstream.client.get(core.nodes, { namespace: "", name: config.nodeName })),
    pressures,
    goingDown,
    onGone: (uid) => upstream?.objects.release(uid),
  });
  pods = set;
  care = makeNodeCare({
    config,
    runtime,
    cgroups: context.cgroups,
    pods: set,
    podEvents: context.events,
    nodeEvent: nodeEvents(eventSink(upstream, log), config.nodeName),
    clock,
    log,
    onConditions: () => statusDue.ring(),
  });
  if (upstream !== undefined) {
    followPods(upstream.pods, set);
    const seen = (pod: Pod) => reconcileStatus(upstream.status, statics, pod);
    upstream.pods.subscribe({ added: seen, updated: (_, pod) => seen(pod) });
  }
  let port = config.port;
  const serving = {
    config,
    context,
    state,
    relist,
    pods: set,
    client: upstream?.client,
    metrics,
    probeMetrics,
    certificate: upstream?.certificate,
    onPort: (p: number) => (port = p),
  };
  sourcesSynced = () => (upstream?.pods.synced ?? true) && (statics?.synced ?? true);
  await runGroup(signal, {
    ...upstream?.tasks,
    relist: (s) => relist.run(s),
    pods: (s) => set.run(s),
    devicePlugins: (s) => devices.run(s),
    // A task of the group must not end before the group does.
    ...(cpus.isStatic ? { cpus: (s: AbortSignal) => cpus.run(s) } : {}),
    podResources: (s) =>
      runPodResources({ rootDir: config.rootDir, pods: () => set.livePods, devices, cpus, clock, log }, s),
    ...(statics === undefined ? {} : { statics: (s: AbortSignal) => statics.run(s) }),
    housekeeping: (s) => runHousekeeping({ ...context, pods: set, relist, sourcesSynced }, s),
    logRotation: (s) => runLogRotation({ config, runtime, relist, clock, log }, s),
    ...care.tasks,
    ...nodeTasks({ config, daemon, runtime, state, upstream, statics, pods: set, port: () => port, statusDue }),
    servers: (s) => runServers(serving, s),
  });
  await upstream?.events.flush();
  upstream?.client.close();
  runtime.close();
}

/** "containerd". Waits for the socket: the kubelet is often started together with its runtime. */
async function waitForRuntime(runtime: Runtime, { clock, log, signal }: DaemonContext): Promise<string> {
  for (let attempt = 0; ; attempt++) {
    try {
      return (await runtime.version({ signal })).runtimeName;
    } catch (error) {
      signal.throwIfAborted();
      if (attempt % 50 === 0) log.warn({ err: error }, "waiting for the container runtime");
      await clock.sleep(200, signal);
    }
  }
}

function makeStatics(config: Config, { clock, log }: DaemonContext, pods: () => PodSet | undefined) {
  if (config.podManifestPath === "") return undefined;
  return new StaticPods({
    directory: config.podManifestPath,
    nodeName: config.nodeName,
    periodMs: config.fileCheckFrequencyMs,
    clock,
    log,
    sink: { set: (pod) => pods()?.set(pod), remove: (uid) => pods()?.remove(uid) },
  });
}

interface ConnectParts {
  readonly statics: StaticPods | undefined;
  readonly retry: (uid: string) => void;
  readonly addresses: () => readonly string[];
  /** Pods of which something may run; undefined while that is not known. */
  readonly live: () => ReadonlySet<string> | undefined;
}

async function connect(
  config: Config,
  daemon: DaemonContext,
  { statics, retry, addresses, live }: ConnectParts,
): Promise<Upstream> {
  const { clock, log, signal } = daemon;
  await ensureKubeconfig(config, daemon);
  const own = await nodeCertificates(config, daemon, addresses);
  const { client } = own;
  const pods = podInformer(client, config.nodeName, clock, log);
  const fieldSelector = `metadata.name=${config.nodeName}`;
  const node = new Informer(client, core.nodes, { fieldSelector, clock, log });
  const self = () => node.get({ namespace: "", name: config.nodeName });
  const services = new Informer(client, core.services, { clock, log });
  const status = new StatusWriter({
    client,
    clock,
    log,
    signal,
    apiPod: (pod) => {
      const found = pods.get(keyOf(pod));
      if (found === undefined) return undefined;
      const isStatic = statics?.list().some((s) => s.metadata.uid === pod.metadata.uid) === true;
      if (isStatic) return isMirror(found) ? found : undefined;
      return found.metadata.uid === pod.metadata.uid ? found : undefined;
    },
  });
  const { rootDir, nodeName } = config;
  const isRegistered = () => self() !== undefined;
  const dynamic = await makeDynamicResources({ rootDir, nodeName, client, isRegistered, live, clock, log });
  return {
    client,
    pods,
    node,
    status,
    claims: dynamic.claims,
    objects: new CachedApiObjects({ client, clock, log, signal, services, node: self, onChange: retry }),
    events: new EventRecorder({ client, component: "kubelet", host: config.nodeName, clock, log }),
    certificate: own.serving,
    tasks: {
      ...own.tasks,
      ...dynamic.tasks,
      nodeWatch: (s) => node.run(s),
      serviceWatch: (s) => services.run(s),
      podWatch: (s) => pods.run(s),
    },
  };
}

/** What the API shows of a pod changed; of a static pod it shows the mirror, whose status is the static pod's. */
function reconcileStatus(status: StatusWriter, statics: StaticPods | undefined, seen: Pod): void {
  const { namespace, name } = keyOf(seen);
  const shown = isMirror(seen)
    ? statics?.list().find((s) => s.metadata.name === name && s.metadata.namespace === namespace)
    : seen;
  if (shown !== undefined) status.reconcile(shown);
}

interface ContextParts {
  readonly config: Config;
  readonly daemon: DaemonContext;
  readonly runtime: Runtime;
  readonly runtimeName: string;
  readonly state: NodeState;
  readonly devices: DeviceManager;
  readonly cpus: CpuManager;
  readonly upstream: Upstream | undefined;
  readonly probeMetrics: ProbeMetrics;
  readonly counts: PodCounts;
  readonly kick: (uid: string) => void;
}

/** Without API server, events go to the log. */
function eventSink(upstream: Upstream | undefined, log: Logger): EventSink {
  if (upstream !== undefined) return upstream.events;
  return { event: (about, type, reason, message) => log.info({ about: about.name, type, reason, message }, "event") };
}

async function makeContext(parts: ContextParts): Promise<PodContext> {
  const { config, runtime, runtimeName, state, upstream, kick } = parts;
  const { clock, log } = parts.daemon;
  const events = new PodEvents(eventSink(upstream, log));
  const objects = upstream?.objects ?? noApiObjects;
  const cgroups = config.cgroupsPerQos
    ? new Cgroups(await cgroupVersion(), {
        // The runtime knows best: groups that two drivers make are two groups.
        driver: (await runtime.cgroupDriver()) ?? (config.cgroupDriver === "systemd" ? "systemd" : "cgroupfs"),
        root: config.cgroupRoot,
        podPidsLimit: config.podPidsLimit > 0 ? config.podPidsLimit : undefined,
        hugePageSizes: Object.keys(state.machine.hugePages),
      })
    : undefined;
  const nodeEvent = nodeEvents(eventSink(upstream, log), config.nodeName);
  await enforceAllocatable({ config, machine: state.machine, cgroups, nodeEvent, log });
  return {
    config,
    runtime,
    runtimeName,
    clock,
    log,
    events,
    cgroups,
    prober: new Prober({
      runtime,
      clock,
      events,
      log,
      hostIp: () => state.hostIps[0] ?? "",
      counts: parts.probeMetrics,
      onChange: kick,
    }),
    images: new ImagePuller({
      images: runtime,
      clock,
      maxParallel: config.serializeImagePulls ? 1 : config.maxParallelImagePulls,
      records: await PulledRecords.load(
        { rootDir: config.rootDir, policy: config.imagePullVerification, allowlist: config.preloadedImages, log },
        runtime,
      ),
    }),
    objects,
    mounts: new PodMounts({ rootDir: config.rootDir, objects, events, node: () => state.facts(), clock, log }),
    status: upstream?.status ?? new LocalStatus(),
    counts: parts.counts,
    node: () => state.facts(),
    devices: parts.devices,
    claims: upstream?.claims,
    cpus: parts.cpus,
    crashes: new CrashBackoff({ maxMs: config.maxContainerRestartPeriodMs }),
    userNamespaces: await UserNamespaces.load({ ...config, range: await idsForPods(log) }),
  };
}

interface NodeParts {
  readonly config: Config;
  readonly daemon: DaemonContext;
  readonly runtime: Runtime;
  readonly state: NodeState;
  readonly upstream: Upstream | undefined;
  readonly statics: StaticPods | undefined;
  readonly pods: PodSet;
  readonly port: () => number;
  readonly statusDue: Wake;
}

function nodeTasks(parts: NodeParts): Record<string, Task> {
  const { config, runtime, state, upstream, statics, pods, port, statusDue } = parts;
  const { clock, log } = parts.daemon;
  const onRuntimeChange = () => pods.retryAll();
  if (upstream === undefined) {
    return {
      runtimeWatch: async (signal) => {
        while (!signal.aborted) {
          if (await state.refresh()) onRuntimeChange();
          await clock.sleep(state.problems().length > 0 ? 500 : 10_000, signal).catch(() => undefined);
        }
      },
    };
  }
  const { client, node } = upstream;
  const self = () => node.get({ namespace: "", name: config.nodeName });
  const durationSeconds = config.nodeLeaseDurationSeconds;
  return {
    nodeStatus: (s) =>
      runNodeStatus(
        { client, config, state, runtime, node, clock, log, port, onRuntimeChange, events: upstream.events, statusDue },
        s,
      ),
    nodeLease: (s) => runNodeLease({ client, nodeName: config.nodeName, durationSeconds, node: self, clock, log }, s),
    ...(statics === undefined
      ? {}
      : {
          mirrors: (s: AbortSignal) =>
            runMirrors(
              {
                client,
                pods: upstream.pods,
                statics,
                node: self,
                clock,
                log,
              },
              s,
            ),
        }),
  };
}
