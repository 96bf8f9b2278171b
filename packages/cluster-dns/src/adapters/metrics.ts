/** Metrics under CoreDNS' names, so that its dashboards show this server too. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import { rcodeName, typeName } from "../core/codes.ts";

const knownTypes = new Set(["A", "AAAA", "SRV", "PTR", "CNAME", "TXT", "MX", "NS", "SOA", "HINFO", "ANY"]);

export class DnsMetrics {
  readonly registry = new Registry();
  /** Counted in a plain map on the hot path, handed over when they are read. */
  readonly #counts = new Map<number, number>();
  readonly duration: Histogram;
  readonly forwards: Histogram;
  readonly cacheHits: Counter;
  readonly cacheMisses: Counter;
  readonly panics: Counter;

  constructor(zone: string, gauges: { readonly cached: () => number }) {
    const registers = [this.registry];
    const counts = this.#counts;
    new Counter({
      name: "coredns_dns_requests_total",
      help: "Counter of DNS requests made per zone, protocol and family.",
      labelNames: ["server", "zone", "proto", "type"],
      registers,
      collect() {
        this.reset();
        for (const [key, count] of counts) {
          const name = typeName((key >> 8) & 0xffff);
          const type = knownTypes.has(name) ? name : "other";
          this.inc({ server: "dns://:53", zone, proto: key & 0x80 ? "tcp" : "udp", type }, count);
        }
      },
    });
    new Counter({
      name: "coredns_dns_responses_total",
      help: "Counter of response status codes.",
      labelNames: ["server", "zone", "rcode"],
      registers,
      collect() {
        this.reset();
        for (const [key, count] of counts) this.inc({ server: "dns://:53", zone, rcode: rcodeName(key & 0x7f) }, count);
      },
    });
    const buckets = [0.00025, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1, 2, 4, 8];
    this.duration = new Histogram({
      name: "coredns_dns_request_duration_seconds",
      help: "Histogram of the time (in seconds) each forwarded or aliased request took.",
      buckets,
      registers,
    });
    this.forwards = new Histogram({
      name: "coredns_forward_request_duration_seconds",
      help: "Histogram of the time each request to an upstream took.",
      labelNames: ["to", "outcome"],
      buckets,
      registers,
    });
    this.cacheHits = new Counter({ name: "coredns_cache_hits_total", help: "The count of cache hits.", registers });
    this.cacheMisses = new Counter({
      name: "coredns_cache_misses_total",
      help: "The count of cache misses.",
      registers,
    });
    this.panics = new Counter({ name: "coredns_panics_total", help: "Requests that met a bug.", registers });
    new Gauge({
      name: "coredns_cache_entries",
      help: "The number of elements in the cache.",
      registers,
      collect() {
        this.set(gauges.cached());
      },
    });
    // Its default of 10 ms is most of what an idle daemon does.
    collectDefaultMetrics({ register: this.registry, eventLoopMonitoringPrecision: 200 });
  }

  /** An answered message; `answer` has its code, `question` its type. */
  count(question: Buffer, answer: Buffer, protocol: "udp" | "tcp"): void {
    const key = (typeOf(question) << 8) | (protocol === "tcp" ? 0x80 : 0) | ((answer[3] ?? 0) & 0xf);
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
  }
}

/** The question's type, 0 when there is none to be found. */
function typeOf(message: Buffer): number {
  let at = 12;
  for (let length = message[at] ?? 0; length > 0; length = message[at] ?? 0) at += 1 + length;
  return at + 3 <= message.length ? message.readUInt16BE(at + 1) : 0;
}
