/**
 * Puts the kubelet together and runs it. Inputs: pods from the API server and from the manifest folder, the runtime's
 * state (relist, events), probe verdicts, changes of ConfigMaps and Secrets in use, requests on 10250, the clock.
 * Outputs: calls to the runtime, files below --root-dir and --pod-log-dir, cgroups, pod and node statuses, the lease, events.
 */
import { mkdir } from "node:fs/promises";
import { core } from "@knarr/api/generated/resources.ts";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { Runtime } from "@knarr/cri/runtime.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import type { DaemonContext } from "@knarr/daemon/run-daemon.ts";
import { runGroup, type Task } from "@knarr/daemon/run-group.ts";
import { Cgroups, cgroupVersion } from "./adapters/cgroups.ts";
import { makeShared } from "./adapters/mounts.ts";
import { reachRuntime } from "./adapters/reach-runtime.ts";
import type { Config } from "./config.ts";
import { CrashBackoff } from "./core/crash-backoff.ts";
import { ImagePuller } from "./images/image-puller.ts";
import { PulledRecords } from "./images/pulled-records.ts";
import { tellCapabilities } from "./node/capabilities.ts";
import { enforceAllocatable } from "./node/enforce-allocatable.ts";
import { type ExclusiveResources, makeExclusiveResources } from "./node/exclusive-resources.ts";
import { makeNodeCare, type NodeCare } from "./node/node-care.ts";
import { nodeEvents } from "./node/node-events.ts";
import { runNodeLease } from "./node/node-lease.ts";
import { NodeState } from "./node/node-state.ts";
import { runNodeStatus } from "./node/register-node.ts";
import { Wake } from "./node/wake.ts";
import { runPodResources } from "./pod-resources/run-pod-resources.ts";
import { noApiObjects } from "./pods/api-objects.ts";
import { followPods } from "./pods/api-source.ts";
import { runHousekeeping } from "./pods/housekeeping.ts";
import { runLogRotation } from "./pods/log-rotation.ts";
import { runMirrors } from "./pods/mirror-pods.ts";
import type { PodContext, PodCounts } from "./pods/pod-context.ts";
import { type EventSink, PodEvents } from "./pods/pod-events.ts";
import { PodMounts } from "./pods/pod-mounts.ts";
import { PodSet } from "./pods/pod-set.ts";
import { Relist } from "./pods/relist.ts";
import { StaticPods } from "./pods/static-pods.ts";
import { LocalStatus } from "./pods/status-writer.ts";
import { idsForPods, UserNamespaces } from "./pods/user-namespaces.ts";
import { Prober } from "./probes/prober.ts";
import { KubeletMetrics } from "./server/kubelet-metrics.ts";
import { ProbeMetrics } from "./server/probe-metrics.ts";
import { runServers } from "./server/run-servers.ts";
import { connect, reconcileStatus, type Upstream } from "./upstream.ts";

export async function runKubelet(config: Config, daemon: DaemonContext): Promise<void> {
  const { clock, log, signal } = daemon;
  await tellCapabilities(log);
  await mkdir(config.rootDir, { recursive: true, mode: 0o750 });
  await mkdir(config.podLogDir, { recursive: true });
  await makeShared(config.rootDir);
  const metrics = new KubeletMetrics(clock);
  const { runtime, runtimeName } = await reachRuntime(config, daemon, metrics);
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
  const onDevices = () => statusDue.ring();
  const exclusive = await makeExclusiveResources({ config, daemon, runtime, relist, live, onDevices });
  const { devices, cpus } = exclusive;
  const state = await NodeState.create({
    ...{ config, runtime, clock, log, relist: () => relist, pressures, goingDown, devices: () => devices.amounts() },
  });
  await state.refresh();
  const statics = makeStatics(config, daemon, () => pods);
  const upstream =
    config.kubeconfig === ""
      ? undefined
      : await connect(config, daemon, { statics, retry, live, addresses: () => state.hostIps });
  const probeMetrics = new ProbeMetrics(clock.now());
  const context = await makeContext({
    ...{ config, daemon, runtime, runtimeName, state, upstream, probeMetrics, kick },
    ...exclusive,
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

interface ContextParts extends ExclusiveResources {
  readonly config: Config;
  readonly daemon: DaemonContext;
  readonly runtime: Runtime;
  readonly runtimeName: string;
  readonly state: NodeState;
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
