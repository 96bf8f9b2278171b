/**
 * Inputs: Services, EndpointSlices, Namespaces; questions over UDP and TCP; the host's resolvers. It answers from the
 * first moment: SERVFAIL about the cluster until the zone is complete, everything else from upstream.
 */

import type { ServerResponse } from "node:http";
import { Client } from "@knarr/client/client.ts";
import { inClusterConfig } from "@knarr/client/in-cluster-config.ts";
import { loadKubeconfig } from "@knarr/client/kubeconfig.ts";
import { serveHealth } from "@knarr/daemon/health-server.ts";
import type { DaemonContext } from "@knarr/daemon/run-daemon.ts";
import { runGroup, type Task } from "@knarr/daemon/run-group.ts";
import { openLocalLink } from "./adapters/local-link.ts";
import { DnsMetrics } from "./adapters/metrics.ts";
import { watchResolvConf, withoutSelf } from "./adapters/resolv-conf.ts";
import { listenTcp } from "./adapters/tcp-server.ts";
import { listenUdp } from "./adapters/udp-server.ts";
import type { Config } from "./config.ts";
import { answerRefusal } from "./core/answer.ts";
import { rcodes } from "./core/codes.ts";
import { Zone } from "./core/zone.ts";
import { Forwarder } from "./forwarder.ts";
import { Forwarders } from "./forwarders.ts";
import { Resolver } from "./resolver.ts";
import { ZoneFeed } from "./zone-feed.ts";

const TRY_TIMEOUT_MS = 1_500;
const DEADLINE_MS = 4_500;

export async function run(config: Config, context: DaemonContext): Promise<void> {
  const { clock, log, signal } = context;
  const rest = config.kubeconfig === "" ? inClusterConfig() : loadKubeconfig({ path: config.kubeconfig });
  const client = new Client(rest, { userAgent: "knarr-cluster-dns/v1.36.0" });
  const zone = new Zone({ zone: config.zone, ttlSeconds: config.ttlSeconds });
  const metrics = new DnsMetrics(`${config.zone}.`, { cached: () => forwarder.cached });
  const forwarderOptions = {
    clock,
    log,
    signal,
    cache: { maxEntries: config.cacheSize, maxPositiveMs: config.cacheTtlMs, maxNegativeMs: config.cacheTtlMs },
    tryTimeoutMs: TRY_TIMEOUT_MS,
    deadlineMs: DEADLINE_MS,
    maxConcurrent: config.maxConcurrent,
    onExchange: (to: string, outcome: "ok" | "failed", seconds: number) =>
      metrics.forwards.observe({ to, outcome }, seconds),
    onCache: (outcome: "hit" | "miss") => (outcome === "hit" ? metrics.cacheHits : metrics.cacheMisses).inc(),
  };
  const forwarder = new Forwarder(forwarderOptions);
  const stubs = new Map<string, Forwarder>();
  for (const [domain, servers] of config.stubDomains) {
    const stub = new Forwarder(forwarderOptions);
    stub.setUpstreams(withoutSelf(servers, config.listen));
    stubs.set(domain, stub);
  }
  const handle = guard(new Resolver(zone, new Forwarders(forwarder, stubs)), metrics, context);
  const wildcards = new Set(["0.0.0.0", "::"]);
  const ownAddresses = config.listen.map((at) => at.host).filter((host) => !wildcards.has(host));
  const feed = new ZoneFeed({ client, zone, zoneName: config.zone, ownAddresses, clock, log });
  const tasks: Record<string, Task> = {};
  for (const at of config.http) {
    tasks[`http ${at.host}:${at.port}`] = (s) => serveHttp(at, zone, metrics, { ...context, signal: s });
  }
  tasks.feed = (s) => feed.run(s);
  tasks.upstreams = async (s) => {
    const use = (upstreams: Parameters<typeof withoutSelf>[0]) => {
      forwarder.setUpstreams(withoutSelf(upstreams, config.listen));
      log.info({ upstreams: forwarder.upstreams }, "using upstream resolvers");
      void forwarder.probeLoops();
    };
    if (config.upstreams === undefined) return watchResolvConf(config.resolvConf, use, { clock, log, signal: s });
    use(config.upstreams);
    await new Promise<void>((resolve) => s.addEventListener("abort", () => resolve(), { once: true }));
  };
  for (const at of config.listen) {
    tasks[`udp ${at.host}:${at.port}`] = async (s) => {
      const server = await listenUdp({ ...at, handle, log, signal: s });
      log.info({ ...at, protocol: "udp" }, "listening");
      await server.closed;
    };
    tasks[`tcp ${at.host}:${at.port}`] = async (s) => (await listenTcp({ ...at, handle, log, signal: s })).closed;
  }
  const closeLink =
    config.localLink === ""
      ? undefined
      : await openLocalLink(
          config.localLink,
          config.listen.map((at) => at.host),
        );
  try {
    await runGroup(signal, tasks);
  } finally {
    await closeLink?.();
  }
}

/** The servers' edge: counts, and turns a bug in one answer into SERVFAIL for it instead of an end for all. */
function guard(resolver: Resolver, metrics: DnsMetrics, { clock, log }: DaemonContext) {
  return (message: Buffer, protocol: "udp" | "tcp"): Buffer | Promise<Buffer> | undefined => {
    const failed = (error: unknown): Buffer => {
      metrics.panics.inc();
      log.error({ err: error, message: message.toString("base64") }, "answering failed");
      const refusal = { id: message.readUInt16BE(0), flags: message.readUInt16BE(2), rcode: rcodes.SERVFAIL };
      return counted(answerRefusal(refusal));
    };
    const counted = (answer: Buffer): Buffer => {
      metrics.count(message, answer, protocol);
      return answer;
    };
    try {
      const answer = resolver.resolve(message, protocol);
      if (answer === undefined || Buffer.isBuffer(answer)) return answer && counted(answer);
      const begun = clock.monotonicMs();
      return answer.then((late) => {
        metrics.duration.observe((clock.monotonicMs() - begun) / 1000);
        return counted(late);
      }, failed);
    } catch (error) {
      return failed(error);
    }
  };
}

/** CoreDNS' paths beside our own: /health says that the process lives, /ready that the zone is complete. */
async function serveHttp(
  at: { readonly host: string; readonly port: number },
  zone: Zone,
  metrics: DnsMetrics,
  { signal, log }: DaemonContext,
): Promise<void> {
  const text = (response: ServerResponse, status: number, body: string) => {
    response.writeHead(status, { "content-type": "text/plain; charset=utf-8" });
    response.end(body);
  };
  const handlers = {
    "/health": (_request: unknown, response: ServerResponse) => text(response, 200, "OK"),
    "/ready": (_request: unknown, response: ServerResponse) =>
      zone.complete ? text(response, 200, "OK") : text(response, 503, "kubernetes"),
  };
  const checks = { livez: {}, readyz: { kubernetes: () => (zone.complete ? undefined : "the zone is not complete") } };
  const server = await serveHealth({ ...at, checks, handlers, registry: metrics.registry, signal, log });
  await server.closed;
}
