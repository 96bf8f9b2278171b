/** cluster-dns' flags and the one Config made of them. */
import { isIP } from "node:net";
import { durationFlag, type FlagValues, intFlag, listFlag, stringFlag, UsageError } from "@knarr/daemon/flags.ts";
import type { Upstream } from "./adapters/exchange.ts";
import { encodeName } from "./core/name.ts";

export const flags = {
  kubeconfig: stringFlag({
    help: "path to the kubeconfig file; the pod's service account when empty",
    placeholder: "path",
  }),
  listen: listFlag({
    help: "addresses to answer on, UDP and TCP; repeatable",
    default: ["0.0.0.0:53"],
    placeholder: "address:port",
  }),
  clusterDomain: stringFlag({ help: "the cluster's domain", default: "cluster.local" }),
  upstream: listFlag({
    help: "resolvers for all other names; those of --resolv-conf when empty; none to have none",
    placeholder: "address[:port]",
  }),
  stubDomain: listFlag({
    help: "a private domain and its name servers; repeatable",
    placeholder: "domain=address[:port][+address...]",
  }),
  localLink: stringFlag({
    help: "make a dummy link of this name that holds the --listen addresses: a server for its node alone",
    placeholder: "name",
  }),
  resolvConf: stringFlag({
    help: "where the host's resolvers stand",
    default: "/etc/resolv.conf",
    placeholder: "path",
  }),
  ttlMs: durationFlag({ help: "how long clients may remember the cluster's records", default: "5s" }),
  cacheTtlMs: durationFlag({ help: "how long forwarded answers are remembered at most", default: "30s" }),
  cacheSize: intFlag({ help: "forwarded answers to remember", default: 10_000, min: 0, max: 1_000_000 }),
  maxConcurrent: intFlag({ help: "questions being asked upstream at once", default: 1000, min: 1, max: 10_000 }),
  healthBindAddress: stringFlag({ help: "address and port of /health; empty disables it", default: "0.0.0.0:8080" }),
  readyBindAddress: stringFlag({ help: "address and port of /ready; empty disables it", default: "0.0.0.0:8181" }),
  metricsBindAddress: stringFlag({ help: "address and port of /metrics; empty disables it", default: "0.0.0.0:9153" }),
} as const;

export interface Config {
  readonly kubeconfig: string;
  readonly listen: readonly Upstream[];
  readonly zone: string;
  /** undefined: those of the file. */
  readonly upstreams: readonly Upstream[] | undefined;
  /** Domain -> its servers. */
  readonly stubDomains: ReadonlyMap<string, readonly Upstream[]>;
  /** "" for none. */
  readonly localLink: string;
  readonly resolvConf: string;
  readonly ttlSeconds: number;
  readonly cacheTtlMs: number;
  readonly cacheSize: number;
  readonly maxConcurrent: number;
  /** Each once, though several of the three may share one. */
  readonly http: readonly Upstream[];
}

/** Throws UsageError naming the flag. */
export function loadConfig(values: FlagValues<typeof flags>): Config {
  const zone = values.clusterDomain.toLowerCase().replace(/\.$/, "");
  try {
    if (encodeName(zone).length === 1) throw new RangeError("the root is not a cluster domain");
  } catch (error) {
    throw new UsageError(`invalid value ${JSON.stringify(zone)} for --cluster-domain: ${(error as Error).message}`);
  }
  if (values.ttlMs < 0 || values.ttlMs > 3_600_000) throw new UsageError("--ttl must be between 0s and 1h");
  const http = [
    ["--health-bind-address", values.healthBindAddress],
    ["--ready-bind-address", values.readyBindAddress],
    ["--metrics-bind-address", values.metricsBindAddress],
  ] as const;
  const unique = new Map(
    http.filter(([, text]) => text !== "").map(([flag, text]) => [text, parseAddress(flag, text)]),
  );
  return Object.freeze({
    kubeconfig: values.kubeconfig,
    listen: values.listen.map((text) => parseAddress("--listen", text, 53)),
    zone,
    upstreams: upstreamsOf(values.upstream),
    stubDomains: stubDomainsOf(values.stubDomain, zone),
    localLink: localLinkOf(values.localLink),
    resolvConf: values.resolvConf,
    ttlSeconds: Math.round(values.ttlMs / 1000),
    cacheTtlMs: values.cacheTtlMs,
    cacheSize: values.cacheSize,
    maxConcurrent: values.maxConcurrent,
    http: [...unique.values()],
  });
}

function upstreamsOf(texts: readonly string[]): Config["upstreams"] {
  if (texts.length === 0) return undefined;
  if (texts.length === 1 && texts[0] === "none") return [];
  return texts.map((text) => parseAddress("--upstream", text, 53));
}

function stubDomainsOf(texts: readonly string[], zone: string): Config["stubDomains"] {
  const domains = new Map<string, readonly Upstream[]>();
  for (const text of texts) {
    const [given = "", servers = "", ...rest] = text.split("=");
    const domain = given.trim().toLowerCase().replace(/\.$/, "");
    const refuse = (why: string) =>
      new UsageError(`invalid value ${JSON.stringify(text)} for --stub-domain: ${why}, as in corp.example=10.1.2.3`);
    if (rest.length > 0 || domain === "" || servers === "") throw refuse("must be a domain and its servers");
    if (domain === zone || domain.endsWith(`.${zone}`)) throw refuse("must not lie in the cluster's domain");
    try {
      encodeName(domain);
    } catch (error) {
      throw refuse((error as Error).message);
    }
    domains.set(
      domain,
      servers.split("+").map((server) => parseAddress("--stub-domain", server, 53)),
    );
  }
  return domains;
}

function localLinkOf(name: string): string {
  if (name !== "" && !/^[A-Za-z][\w.-]{0,14}$/.test(name)) {
    throw new UsageError(
      `invalid value ${JSON.stringify(name)} for --local-link: must be a link's name, 15 characters`,
    );
  }
  return name;
}

/** "10.0.0.1", "10.0.0.1:53", ":53", "[fd00::1]:53", "fd00::1". */
function parseAddress(flag: string, text: string, defaultPort?: number): Upstream {
  const match = /^(?:\[([^\]]+)\]|([^:]*))(?::(\d{1,5}))?$/.exec(text);
  const host = isIP(text) === 6 ? text : match === null ? "" : (match[1] ?? (match[2] || "0.0.0.0"));
  const port = match?.[3] === undefined || isIP(text) === 6 ? defaultPort : Number(match[3]);
  if (isIP(host) === 0 || port === undefined || port > 65_535) {
    throw new UsageError(`invalid value ${JSON.stringify(text)} for ${flag}: must be an IP address and a port`);
  }
  return { host, port };
}
