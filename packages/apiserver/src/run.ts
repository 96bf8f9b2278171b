/**
 * The API server's life: build, listen, run the loops beside the server, stop in order.
 * Inputs: flags, etcd, requests. Order of stopping: no new requests, watches end, running requests finish, own address
 * withdrawn, loops, storage.
 */
import { readFile } from "node:fs/promises";
import { core } from "@knarr/api/generated/resources.ts";
import { Client } from "@knarr/client/client.ts";
import { EventRecorder } from "@knarr/client/event-recorder.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import type { DaemonContext } from "@knarr/daemon/run-daemon.ts";
import { runGroup } from "@knarr/daemon/run-group.ts";
import { loadTlsFiles, type TlsFilePaths, type TlsMaterial, watchTlsFiles } from "@knarr/daemon/tls-files.ts";
import type { ClientCas } from "./authn/build.ts";
import { keepAuthenticationConfigMap } from "./bootstrap/authentication-config-map.ts";
import { keepKubernetesService } from "./bootstrap/kubernetes-service.ts";
import { keepSystemObjects } from "./bootstrap/system-objects.ts";
import { buildServer, type ServerParts } from "./build-server.ts";
import type { Config } from "./config.ts";
import { reloadEncryption } from "./encryption/build.ts";
import { keepFlowObjects } from "./flowcontrol/keep-objects.ts";
import { HttpServer } from "./http/server.ts";
import { parseSniCertKey, type SniCertificate, type SniFiles, tlsSettings } from "./http/tls-settings.ts";
import type { RepairEvent } from "./registry/plan-service-repair.ts";
import { runServiceRepair } from "./registry/repair.ts";
import { followConfigFile, keepBootstrapPolicy } from "./security.ts";

/** Runs until the signal aborts; rejects when it cannot start. */
export async function runApiserver(config: Config, context: DaemonContext): Promise<void> {
  const parts = await buildServer(config, context);
  const { log, clock, signal } = context;
  const tls = await loadTlsFiles(tlsPaths(config));
  const sni = config.tlsSniCertKey.map(parseSniCertKey);
  const server = await HttpServer.listen({
    host: config.bindAddress,
    port: config.securePort,
    tls,
    clientCas: await clientCas(config, tls, parts.security.cas),
    tlsSettings: tlsSettings(config.tlsMinVersion, config.tlsCipherSuites),
    sniCertificates: await Promise.all(sni.map(loadSni)),
    clock,
    log,
    handle: parts.handle,
  });
  log.info({ port: server.port, resources: parts.resources.all().length }, "serving");
  try {
    await runLoops(config, context, parts, server, tls, signal);
  } finally {
    parts.kubelets.close();
    await parts.audit?.close();
    parts.kv.close();
  }
}

async function runLoops(
  config: Config,
  context: DaemonContext,
  parts: ServerParts,
  server: HttpServer,
  tls: TlsMaterial,
  signal: AbortSignal,
): Promise<void> {
  const { log, clock } = context;
  const { storage, resources, ips, ports, started, advertiseAddress } = parts;
  const client = new Client(
    { server: `https://127.0.0.1:${server.port}`, token: parts.loopback.token, insecureSkipTlsVerify: true },
    { userAgent: "kube-apiserver/v1.36.0" },
  );
  const tools = { client, clock, log };
  const { serviceCidr } = config;
  const services = resources.storageOf(core.services);
  const service = { ...tools, serviceCidr, advertiseAddress, securePort: server.port, leases: parts.masterLeases };
  await runGroup(signal, {
    storage: (stop) => storage.run(stop),
    certificates: (stop) =>
      watchTlsFiles(
        { paths: tlsPaths(config), current: tls, clock, log },
        (next) => {
          clientCas(config, next, parts.security.cas).then(
            (cas) => server.setTls(next, cas),
            (error: unknown) => log.warn({ err: error }, "client CAs not readable, keeping the old"),
          );
        },
        stop,
      ),
    sniCertificates: (stop) => watchSni(config, server, { clock, log }, stop),
    repair: (stop) =>
      runServiceRepair(
        { services, ips, ports, clock, log, tell: repairEvents(tools) },
        started.done("start-service-ip-repair-controllers"),
        stop,
      ),
    systemObjects: (stop) =>
      keepSystemObjects(tools, serviceCidr, started.done("start-system-namespaces-controller"), stop),
    authenticationConfigMap: (stop) => keepAuthenticationConfigMap(tools, config, stop),
    authenticationConfig: (stop) =>
      followConfigFile(
        { path: config.authenticationConfig, what: "authentication", reload: parts.security.reloadAuthentication },
        { clock, log },
        stop,
      ),
    authorizationConfig: (stop) =>
      followConfigFile(
        { path: config.authorizationConfig, what: "authorization", reload: parts.security.reloadAuthorization },
        { clock, log },
        stop,
      ),
    rbac: (stop) => keepBootstrapPolicy({ resources, clock, log }, started.done("rbac/bootstrap-roles"), stop),
    encryption: (stop) => runEncryption(config, parts, tools, stop),
    fairUse: (stop) => runFairUse(parts, tools, stop),
    resourceMetrics: (stop) => parts.resourceMetrics.scraper.run(stop),
    kubernetesService: (stop) => keepKubernetesService(service, started.done("bootstrap-controller"), stop),
    // Last: it is stopped first.
    http: (stop) => serveUntil(server, parts.stopping, config.shutdownGracePeriodMs, stop),
  });
  client.close();
}

/** Events of the loops that repair Services' addresses and ports. Source: names of upstream's reporting controllers */
function repairEvents(tools: { readonly client: Client; readonly clock: Clock; readonly log: Logger }) {
  const ofAddresses = new EventRecorder({ ...tools, component: "ipallocator-repair-controller" });
  const ofPorts = new EventRecorder({ ...tools, component: "portallocator-repair-controller" });
  return ({ service, reason, message }: RepairEvent) => {
    const recorder = reason.startsWith("Port") ? ofPorts : ofAddresses;
    recorder.event({ ...service, apiVersion: "v1", kind: "Service" }, "Warning", reason, message);
  };
}

/** A task of the group ends with its signal. */
function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

function runEncryption(
  config: Config,
  { encryption }: ServerParts,
  { clock, log }: { readonly clock: Clock; readonly log: Logger },
  signal: AbortSignal,
): Promise<void> {
  if (encryption === undefined || !config.encryptionProviderConfigAutomaticReload) return untilAborted(signal);
  return reloadEncryption(encryption, { path: config.encryptionProviderConfig, clock, log }, signal);
}

async function runFairUse(
  { fairUse, started }: ServerParts,
  tools: { readonly client: Client; readonly clock: Clock; readonly log: Logger },
  signal: AbortSignal,
): Promise<void> {
  const done = started.done("priority-and-fairness-config-producer");
  if (fairUse === undefined) {
    done();
    return untilAborted(signal);
  }
  const { control, schemas, levels } = fairUse;
  await Promise.all([control.run(signal), keepFlowObjects({ control, schemas, levels, ...tools }, done, signal)]);
}

function serveUntil(server: HttpServer, stopping: AbortController, graceMs: number, stop: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = () => {
      stopping.abort(new DOMException("the server is stopping", "AbortError"));
      server.close(graceMs).then(resolve, reject);
    };
    if (stop.aborted) end();
    else stop.addEventListener("abort", end, { once: true });
  });
}

async function loadSni({ names, ...paths }: SniFiles): Promise<SniCertificate> {
  return { names, tls: await loadTlsFiles(paths) };
}

/** Each pair is watched by itself; a change of one takes effect at once. */
async function watchSni(
  config: Config,
  server: HttpServer,
  { clock, log }: { readonly clock: Clock; readonly log: Logger },
  signal: AbortSignal,
): Promise<void> {
  const files = config.tlsSniCertKey.map(parseSniCertKey);
  const current = await Promise.all(files.map(loadSni));
  const watches = files.map(({ names, ...paths }, i) =>
    watchTlsFiles(
      { paths, current: (current[i] as SniCertificate).tls, clock, log },
      (tls) => {
        current[i] = { names, tls };
        server.setSniCertificates([...current]);
      },
      signal,
    ),
  );
  await Promise.all([untilAborted(signal), ...watches]);
}

function tlsPaths(config: Config): TlsFilePaths {
  return {
    certFile: config.tlsCertFile,
    keyFile: config.tlsPrivateKeyFile,
    ...(config.clientCaFile === "" ? {} : { clientCaFile: config.clientCaFile }),
  };
}

/**
 * Client certificates may chain to the clients' CA or to the front proxy's; which one it was is authentication's matter,
 * which learns of new CAs here.
 */
async function clientCas(config: Config, tls: TlsMaterial, cas: ClientCas): Promise<readonly Buffer[]> {
  const { requestheaderClientCaFile: path } = config;
  const frontProxy = path === "" ? undefined : await readFile(path);
  if (tls.ca !== undefined) cas.clients.load(tls.ca.toString());
  if (frontProxy !== undefined) cas.frontProxies.load(frontProxy.toString());
  return [...(tls.ca === undefined ? [] : [tls.ca]), ...(frontProxy === undefined ? [] : [frontProxy])];
}
