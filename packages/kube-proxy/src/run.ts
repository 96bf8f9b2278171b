/**
 * The one loop: services, slices, node -> dirty -> plan -> apply -> report.
 *
 * Inputs: Services and EndpointSlices of the whole cluster, this node's Node, a timer for the comparison with the kernel.
 * It never writes before all three are synced, and what it last wrote stays when the API server can't be reached.
 */
import { core, discovery } from "@knarr/api/generated/resources.ts";
import type { Node, Service } from "@knarr/api/generated/types/core-v1.ts";
import type { EndpointSlice } from "@knarr/api/generated/types/discovery-v1.ts";
import { Client } from "@knarr/client/client.ts";
import { inClusterConfig } from "@knarr/client/in-cluster-config.ts";
import { Informer } from "@knarr/client/informer.ts";
import { loadKubeconfig } from "@knarr/client/kubeconfig.ts";
import type { DaemonContext } from "@knarr/daemon/run-daemon.ts";
import { runGroup, type Task } from "@knarr/daemon/run-group.ts";
import { removeOtherModes } from "./adapters/clean-up.ts";
import { serveProxyHealth, serveProxyMetrics } from "./adapters/http-servers.ts";
import { applyIpvsSettings } from "./adapters/ipvs-support.ts";
import { ProxyMetrics } from "./adapters/metrics.ts";
import { chooseMode, openBackends } from "./adapters/open-backends.ts";
import { ServiceHealthServers } from "./adapters/service-health.ts";
import { applySysctls } from "./adapters/sysctls.ts";
import type { Config } from "./config.ts";
import { ProxyHealth } from "./core/proxy-health.ts";
import { slimService, slimSlice } from "./core/slim-objects.ts";
import { PendingChanges } from "./pending-changes.ts";
import { ServiceViews, serviceOf } from "./service-views.ts";
import { SyncLoop } from "./sync-loop.ts";

/** Other proxies take the Services that name them; headless slices have no rules. Source: KEP-2447 */
const servedHere = "!service.kubernetes.io/service-proxy-name,!service.kubernetes.io/headless";

export async function run(config: Config, context: DaemonContext): Promise<void> {
  const { clock, log, signal } = context;
  const rest = config.kubeconfig === "" ? inClusterConfig() : loadKubeconfig({ path: config.kubeconfig });
  const client = new Client(config.master === "" ? rest : { ...rest, server: config.master }, {
    userAgent: "kube-proxy/v1.36.0",
  });
  const metrics = new ProxyMetrics();
  const health = new ProxyHealth(2 * config.syncPeriodMs);
  const pending = new PendingChanges({ clock, health, metrics });
  const options = { clock, log, labelSelector: servedHere };
  const services = new Informer<Service>(client, core.services, { ...options, transform: slimService });
  const slices = new Informer<EndpointSlice>(client, discovery.endpointslices, {
    ...options,
    transform: slimSlice,
    indexers: { service: (slice) => [serviceOf(slice)] },
  });
  const nodes = new Informer<Node>(client, core.nodes, {
    clock,
    log,
    fieldSelector: `metadata.name=${config.nodeName}`,
  });
  const views = new ServiceViews(services, slices);
  const serviceChanged = (service: Service) => {
    views.serviceChanged(service);
    pending.serviceChanged();
  };
  const sliceChanged = (slice: EndpointSlice) => {
    views.sliceChanged(slice);
    pending.sliceChanged(slice);
  };
  services.subscribe({ added: serviceChanged, updated: (_old, now) => serviceChanged(now), deleted: serviceChanged });
  slices.subscribe({
    added: sliceChanged,
    updated: (old, slice) => {
      views.sliceChanged(old);
      sliceChanged(slice);
    },
    deleted: (slice) => {
      views.sliceChanged(slice);
      pending.sliceChanged();
    },
  });
  const nodeChanged = (node: Node | undefined) => {
    health.nodeSeen(node);
    pending.nodeChanged();
  };
  nodes.subscribe({ added: nodeChanged, updated: (_old, node) => nodeChanged(node), deleted: nodeChanged });
  const mode = await chooseMode(config.proxyMode, { signal, log });
  const backends = await openBackends(mode, config, { signal, log });
  await applySysctls(config, mode, log);
  if (mode === "ipvs") await applyIpvsSettings(config, { signal, log });
  const serviceHealth = new ServiceHealthServers(() => health.isHealthy(clock.now()), log);
  const loop = new SyncLoop({
    config,
    clock,
    log,
    metrics,
    health,
    pending,
    serviceHealth,
    backends,
    removeOtherModes: (s) => removeOtherModes(mode, { signal: s, log }),
    isSynced: () => services.synced && slices.synced && nodes.synced,
    view: () => ({ ...views.take(), node: nodes.list()[0] }),
  });
  const listeners = { signal, log, clock, metrics };
  const { healthz, metrics: metricsAt } = config;
  const tasks: Record<string, Task> = {};
  if (metricsAt !== undefined) tasks.metrics = (s) => serveProxyMetrics(metricsAt, mode, { ...listeners, signal: s });
  if (healthz !== undefined) tasks.healthz = (s) => serveProxyHealth(healthz, health, { ...listeners, signal: s });
  tasks.services = (s) => services.run(s);
  tasks.slices = (s) => slices.run(s);
  tasks.nodes = (s) => nodes.run(s);
  tasks.sync = async (s) => {
    await Promise.all([services, slices, nodes].map((informer) => informer.waitForSync(s)));
    await loop.run(s);
  };
  try {
    await runGroup(signal, tasks);
  } finally {
    serviceHealth.close();
  }
}
