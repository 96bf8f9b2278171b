/**
 * Puts the parts together: storage, security, resources, admission, routes, filters. Starts nothing that runs on.
 */
import { readFile } from "node:fs/promises";
import { hostname, networkInterfaces } from "node:os";
import { core } from "@knarr/api/generated/resources.ts";
import { allKinds } from "@knarr/api/kinds/index.ts";
import type { ResourceRef } from "@knarr/apimachinery/resource.ts";
import type { HealthChecks } from "@knarr/daemon/health-server.ts";
import type { DaemonContext } from "@knarr/daemon/run-daemon.ts";
import { readPluginConfigurations } from "./admission/admission-configuration.ts";
import { createPlugins } from "./admission/build.ts";
import { AdmissionChain } from "./admission/chain.ts";
import type { AdmissionPlugin } from "./admission/plugin.ts";
import type { Auditor } from "./audit/auditor.ts";
import { buildAuditor } from "./audit/build.ts";
import { LoopbackAuthenticator } from "./bootstrap/loopback.ts";
import type { Config } from "./config.ts";
import { servedGroups } from "./discovery/groups.ts";
import { Discovery } from "./discovery/serve.ts";
import { buildEncryption } from "./encryption/build.ts";
import type { EncryptedStore } from "./encryption/encrypted-store.ts";
import { type BuiltFairUse, buildFairUse } from "./flowcontrol/build.ts";
import { StartupChecks } from "./health/startup-checks.ts";
import { chain, type Filter } from "./http/filters/filter.ts";
import { flowControl } from "./http/filters/flow-control.ts";
import { maxInFlight } from "./http/filters/max-in-flight.ts";
import { filters } from "./http/filters/order.ts";
import type { RequestContext } from "./http/request-context.ts";
import { type Routes, route } from "./http/routes.ts";
import { createMetrics } from "./metrics.ts";
import { OpenApi } from "./openapi/serve.ts";
import { KubeletClient } from "./proxy/kubelet.ts";
import { buildResources } from "./registry/build.ts";
import { ClusterIps } from "./registry/cluster-ips.ts";
import { StorageLookup } from "./registry/lookup.ts";
import { NodePorts } from "./registry/node-ports.ts";
import { type RbacChecks, rbacHooks } from "./registry/rbac.ts";
import type { ResourceIndex } from "./registry/resource.ts";
import {
  createResourceMetrics,
  type ResourceMetrics,
  resourceMetricsKinds,
} from "./resource-metrics/resource-metrics.ts";
import { createSecurity, type Security } from "./security.ts";
import { EtcdStore } from "./storage/etcd-store.ts";
import { Storage } from "./storage/storage.ts";
import type { ResourceStorage } from "./storage/types.ts";
import type { ApiEnvironment } from "./verbs/environment.ts";

export interface ServerParts {
  readonly kv: EtcdStore;
  /** Absent without --encryption-provider-config. */
  readonly encryption: EncryptedStore | undefined;
  readonly storage: Storage;
  readonly resources: ResourceIndex;
  readonly ips: ClusterIps;
  readonly ports: NodePorts;
  /** masterleases/: which API servers are alive. */
  readonly masterLeases: ResourceStorage;
  readonly loopback: LoopbackAuthenticator;
  readonly security: Security;
  readonly started: StartupChecks;
  readonly audit: Auditor | undefined;
  readonly kubelets: KubeletClient;
  readonly resourceMetrics: ResourceMetrics;
  /** Abort to end watches and streams. */
  readonly stopping: AbortController;
  readonly advertiseAddress: string;
  /** Absent with --enable-priority-and-fairness=false. */
  readonly fairUse: BuiltFairUse | undefined;
  readonly handle: (context: RequestContext) => Promise<void>;
}

export async function buildServer(config: Config, context: DaemonContext): Promise<ServerParts> {
  const { log, clock } = context;
  const etcd = await connectEtcd(config, context);
  const encryption = await buildEncryption(config, etcd, allKinds);
  const kv = encryption ?? etcd;
  const { etcdPrefix: root, etcdCompactionIntervalMs: compactionIntervalMs } = config;
  const storage = new Storage({ kv, clock, log, root, compactionIntervalMs });
  const ports = new NodePorts(config.nodePorts, internalStorage(storage, "ranges", "RangeAllocation"));
  const masterLeases = internalStorage(storage, "masterleases", "Endpoints");
  const ipAddresses = storage.resource({ ref: ipAddressRef });
  const ips = new ClusterIps(config.serviceCidr, ipAddresses, clock);
  const loopback = new LoopbackAuthenticator();
  let security: Security | undefined;
  const rbacChecks = (): RbacChecks => {
    if (security === undefined) throw new Error("a write before the authorizer was made");
    return security;
  };
  const resources: ResourceIndex = buildResources([...allKinds, ...resourceMetricsKinds], storage, {
    hooks: {
      ips,
      ports,
      services: () => resources.storageOf(core.services),
      clock,
      rbac: (ref) => rbacHooks(ref, rbacChecks),
    },
    eventTtlSeconds: Math.ceil(config.eventTtlMs / 1000),
  });
  security = await createSecurity(config, { storage, loopback, clock });
  const kubelets = await KubeletClient.create({
    caFile: config.kubeletCertificateAuthority,
    certFile: config.kubeletClientCertificate,
    keyFile: config.kubeletClientKey,
    addressTypes: config.kubeletPreferredAddressTypes,
  });
  const stopping = new AbortController();
  const plugins = createPlugins(
    { enabled: config.enableAdmissionPlugins, disabled: config.disableAdmissionPlugins },
    await readPluginConfigurations(config.admissionControlConfigFile),
    {
      clock,
      storageOf: (ref) => resources.storageOf(ref),
      findKind: (apiVersion, kind) => resources.ofKind(apiVersion, kind)?.descriptor.ref,
    },
  );
  const env = buildEnvironment({
    config,
    context,
    storage,
    resources,
    security,
    kubelets,
    plugins,
    stopping: stopping.signal,
  });
  const started = new StartupChecks();
  const audit = await buildAuditor(config, context);
  const advertiseAddress = config.advertiseAddress || firstAddress(config.bindAddress);
  const fairUse = buildFairUse(config, { storage, clock, registry: env.metrics.registry });
  const routes = buildRoutes(env, { storage, started, security, advertiseAddress, fairUse });
  const handle = chain(
    filtersOf(config),
    {
      log,
      clock,
      metrics: env.metrics,
      audit,
      authenticator: security.authenticator,
      authorizer: security.authorizer,
      fairUse,
      requestTimeoutMs: config.requestTimeoutMs,
    },
    (request) => route(request, routes),
  );
  return {
    kv: etcd,
    encryption,
    storage,
    resources,
    ips,
    ports,
    masterLeases,
    loopback,
    security,
    started,
    audit,
    kubelets,
    resourceMetrics: env.resourceMetrics,
    stopping,
    advertiseAddress,
    fairUse,
    handle,
  };
}

/** Instead of fair queues a plain limit, when they are off. */
function filtersOf(config: Config): readonly Filter[] {
  if (config.enablePriorityAndFairness) return filters;
  const limits = { reading: config.maxRequestsInflight, writing: config.maxMutatingRequestsInflight };
  return filters.map((filter) => (filter === flowControl ? maxInFlight(limits) : filter));
}

/** How long a health check waits for etcd. */
const CHECK_TIMEOUT_MS = 2_000;

const ipAddressRef: ResourceRef<unknown> = {
  group: "networking.k8s.io",
  version: "v1",
  resource: "ipaddresses",
  kind: "IPAddress",
  namespaced: false,
};

/** Objects that are not part of the API: upstream's own bookkeeping, under upstream's keys. */
function internalStorage(storage: Storage, folder: string, kind: string): ResourceStorage {
  const ref = { group: "", version: "v1", resource: folder, kind, namespaced: false };
  return storage.resource({ ref, folder, cached: false });
}

async function connectEtcd(config: Config, context: DaemonContext): Promise<EtcdStore> {
  const read = (path: string) => (path === "" ? undefined : readFile(path));
  const [ca, cert, key] = await Promise.all([
    read(config.etcdCafile),
    read(config.etcdCertfile),
    read(config.etcdKeyfile),
  ]);
  const tls =
    ca === undefined
      ? {}
      : { tls: { ca, ...(cert === undefined ? {} : { cert }), ...(key === undefined ? {} : { key }) } };
  return new EtcdStore({ endpoints: config.etcdServers, ...tls }, { clock: context.clock, log: context.log });
}

function buildEnvironment(parts: {
  config: Config;
  context: DaemonContext;
  storage: Storage;
  resources: ResourceIndex;
  security: Security;
  kubelets: KubeletClient;
  plugins: readonly AdmissionPlugin[];
  stopping: AbortSignal;
}): ApiEnvironment {
  const { config, context, resources, security } = parts;
  const { clock, log } = context;
  const lookup = new StorageLookup(parts.storage, resources);
  const { authorizer } = security;
  const admission = new AdmissionChain(parts.plugins, {
    lookup,
    authorizer,
    clock,
    notReadyTolerationSeconds: config.defaultNotReadyTolerationSeconds,
    unreachableTolerationSeconds: config.defaultUnreachableTolerationSeconds,
  });
  return {
    config,
    log,
    clock,
    resources,
    admission,
    authorizer,
    security,
    lookup,
    checkStore: async () => {
      try {
        await parts.storage.checkEtcd(AbortSignal.timeout(CHECK_TIMEOUT_MS));
        return undefined;
      } catch (error) {
        // The failure is the answer.
        return error instanceof Error ? error.message : String(error);
      }
    },
    metrics: createMetrics(),
    kubelets: parts.kubelets,
    resourceMetrics: createResourceMetrics({ lookup, kubelets: parts.kubelets, clock, log }),
    stopping: parts.stopping,
  };
}

function buildRoutes(
  env: ApiEnvironment,
  parts: {
    storage: Storage;
    started: StartupChecks;
    security: Security;
    advertiseAddress: string;
    fairUse: BuiltFairUse | undefined;
  },
): Routes {
  const { storage, started } = parts;
  const groups = servedGroups(env.resources.all().map((resource) => resource.descriptor));
  const ping: HealthChecks = { ping: () => undefined };
  const etcd: HealthChecks = {
    etcd: env.checkStore,
  };
  const readyz: HealthChecks = {
    ...ping,
    ...etcd,
    "informer-sync": () => (storage.isReady ? undefined : `${storage.notReady().length} caches are not loaded`),
    ...started.checks(),
    shutdown: () => (env.stopping.aborted ? "process is shutting down" : undefined),
  };
  return {
    env,
    discovery: new Discovery(groups, `${parts.advertiseAddress}:${env.config.securePort}`),
    openApi: new OpenApi(groups),
    health: { livez: { ...ping, ...etcd }, readyz, healthz: { ...ping, ...etcd, ...started.checks() } },
    issuerDocuments: parts.security.issuerDocuments,
    fairUse: parts.fairUse?.control,
  };
}

/** What other machines reach us by: the bind address, or the first address that is not loopback. */
function firstAddress(bindAddress: string): string {
  if (bindAddress !== "" && bindAddress !== "0.0.0.0" && bindAddress !== "::") return bindAddress;
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  const found =
    all.find((address) => !address.internal && address.family === "IPv4") ?? all.find((a) => a.family === "IPv4");
  if (found === undefined) throw new Error(`no address of ${hostname()} to advertise; set --advertise-address`);
  return found.address;
}
