/**
 * The cluster's zone, kept up to date Service by Service, and the answers from it. Until it is complete it answers
 * nothing: not knowing is SERVFAIL, never NXDOMAIN.
 */
import { answerLimit, answerPrepared, answerRecords, type Records } from "./answer.ts";
import { CLASS_IN, HEADER_BYTES, type Rcode, rcodes, types } from "./codes.ts";
import type { ResourceRecord } from "./message.ts";
import { addressBytes, encodeName, nameKey } from "./name.ts";
import type { Query } from "./query.ts";
import type { NameRecords, ServiceRecords } from "./service-records.ts";

export interface ZoneOptions {
  /** "cluster.local", without a trailing dot. */
  readonly zone: string;
  readonly ttlSeconds: number;
}

/** What became of a query. */
export type ZoneAnswer =
  | { readonly kind: "answer"; readonly bytes: Buffer }
  /** The name is an alias: its target must be looked up, here or elsewhere. */
  | { readonly kind: "alias"; readonly target: Buffer }
  /** Not the zone's business. */
  | { readonly kind: "elsewhere" };

/** Source: the specification's section 2.2 */
const SCHEMA_VERSION = "1.1.0";
const SCHEMA_TTL_SECONDS = 28_800;

export class Zone {
  readonly #options: ZoneOptions;
  readonly #zoneKey: string;
  readonly #zoneName: Buffer;
  readonly #names = new Map<string, NameRecords>();
  readonly #services = new Map<string, ServiceRecords>();
  readonly #reverse = new Map<string, Map<string, readonly string[]>>();
  #namespaces = new Set<string>();
  #nameServers: readonly Buffer[] = [];
  #serial = 1;
  #turn = 0;
  #complete = false;

  constructor(options: ZoneOptions) {
    this.#options = options;
    this.#zoneKey = nameKey(options.zone);
    this.#zoneName = encodeName(options.zone);
  }

  get ttlSeconds(): number {
    return this.#options.ttlSeconds;
  }

  get complete(): boolean {
    return this.#complete;
  }

  /** All inputs are there: from now on what is not known does not exist. */
  setComplete(): void {
    this.#complete = true;
  }

  /** Replaces what a Service holds; undefined removes it. `nowMs` dates the change. */
  setService(key: string, records: ServiceRecords | undefined, nowMs: number): void {
    const before = this.#services.get(key);
    for (const name of before?.names.keys() ?? []) if (records?.names.has(name) !== true) this.#names.delete(name);
    for (const reverse of before?.reverse.keys() ?? []) {
      const owners = this.#reverse.get(reverse);
      owners?.delete(key);
      if (owners?.size === 0) this.#reverse.delete(reverse);
    }
    for (const [name, entry] of records?.names ?? []) this.#names.set(name, entry);
    for (const [reverse, names] of records?.reverse ?? []) {
      const owners = this.#reverse.get(reverse) ?? new Map<string, readonly string[]>();
      owners.set(key, names);
      this.#reverse.set(reverse, owners);
    }
    if (records === undefined) this.#services.delete(key);
    else this.#services.set(key, records);
    this.#serial = Math.max(this.#serial + 1, Math.floor(nowMs / 1000)) % 2 ** 32;
  }

  setNamespace(name: string, exists: boolean): void {
    if (exists) this.#namespaces.add(name.toLowerCase());
    else this.#namespaces.delete(name.toLowerCase());
  }

  /** The addresses of this server, which are those of the zone's name server. */
  setNameServers(addresses: readonly string[]): void {
    this.#nameServers = addresses.map(addressBytes).filter((bytes) => bytes !== undefined);
  }

  /** Whether a key (of `labels`) is the zone's name or below it. */
  isInZone(key: string, labels: readonly number[]): boolean {
    const at = key.length - this.#zoneKey.length;
    return at >= 0 && key.endsWith(this.#zoneKey) && labels.includes(at);
  }

  resolve(query: Query, protocol: "udp" | "tcp"): ZoneAnswer {
    if (query.class !== CLASS_IN) return { kind: "elsewhere" };
    if (this.isInZone(query.key, query.labels)) return this.#resolveInZone(query, protocol);
    if (query.type === types.PTR && isReverse(query.key)) return this.#resolveReverse(query, protocol);
    return { kind: "elsewhere" };
  }

  #resolveInZone(query: Query, protocol: "udp" | "tcp"): ZoneAnswer {
    const limit = answerLimit(query, protocol);
    const finish = (records: Records): ZoneAnswer => ({ kind: "answer", bytes: answerRecords(query, records, limit) });
    if (!this.#complete) return finish({ rcode: rcodes.SERVFAIL, authoritative: false });
    if (query.type === types.AXFR || query.type === types.IXFR) {
      return finish({ rcode: rcodes.REFUSED, authoritative: false });
    }
    const found = this.#names.get(query.key);
    if (found !== undefined) {
      const section = query.type === types.ANY ? found.sections.values().next().value : found.sections.get(query.type);
      if (section !== undefined) {
        this.#turn = (this.#turn + 1) & 0x3fffffff;
        return { kind: "answer", bytes: answerPrepared(query, section, limit, this.#turn) };
      }
      if (found.alias !== undefined) return { kind: "alias", target: found.alias };
      return finish(this.#negative(rcodes.NOERROR));
    }
    return finish(this.#resolveOther(query));
  }

  /** Names that belong to no Service: the zone itself, its name server, namespaces, pods, the schema version. */
  #resolveOther(query: Query): Records {
    const own = query.labels.slice(0, query.labels.indexOf(query.key.length - this.#zoneKey.length));
    const labels = own.map((at) => query.key.slice(at + 1, at + 1 + query.key.charCodeAt(at)));
    const nodata = this.#negative(rcodes.NOERROR);
    switch (labels.length) {
      case 0:
        return this.#apex(query.type) ?? nodata;
      case 1:
        if (labels[0] === "dns-version") return this.#schemaVersion(query) ?? nodata;
        return isBranch(labels[0]) || labels[0] === "dns" ? nodata : this.#negative(rcodes.NXDOMAIN);
      case 2: {
        const [first = "", second = ""] = labels;
        if (second === "dns" && first === "ns") return this.#nameServer(query) ?? nodata;
        return isBranch(second) && this.#namespaces.has(first) ? nodata : this.#negative(rcodes.NXDOMAIN);
      }
      case 3:
        return this.#pod(query, labels) ?? this.#negative(rcodes.NXDOMAIN);
      default:
        return this.#negative(rcodes.NXDOMAIN);
    }
  }

  #apex(type: number): Records | undefined {
    const record = { name: this.#zoneName, class: CLASS_IN, ttlSeconds: this.#options.ttlSeconds };
    const nsName = encodeName(`ns.dns.${this.#options.zone}`);
    if (type === types.SOA || type === types.ANY) {
      return { rcode: rcodes.NOERROR, authoritative: true, answers: [this.#soa()] };
    }
    if (type !== types.NS) return undefined;
    return {
      rcode: rcodes.NOERROR,
      authoritative: true,
      answers: [{ ...record, type: types.NS, data: nsName }],
      additionals: this.#nameServers.map((data) => ({
        ...record,
        name: nsName,
        type: data.length === 4 ? types.A : types.AAAA,
        data,
      })),
    };
  }

  #nameServer(query: Query): Records | undefined {
    const length = query.type === types.A ? 4 : query.type === types.AAAA ? 16 : 0;
    const matching = this.#nameServers.filter((address) => address.length === length);
    return matching.length === 0 ? undefined : this.#positive(query, matching, query.type, this.#options.ttlSeconds);
  }

  #schemaVersion(query: Query): Records | undefined {
    if (query.type !== types.TXT && query.type !== types.ANY) return undefined;
    const text = Buffer.from(SCHEMA_VERSION, "latin1");
    return this.#positive(query, [Buffer.from([text.length, ...text])], types.TXT, SCHEMA_TTL_SECONDS);
  }

  /** "10-244-0-5.default.pod": the address is in the name; whether there is such a pod is not asked. Source: section 2.6 */
  #pod(query: Query, labels: readonly string[]): Records | undefined {
    const [host = "", namespace = "", branch] = labels;
    if (branch !== "pod" || !this.#namespaces.has(namespace)) return undefined;
    const isIpv4 = /^\d{1,3}(?:-\d{1,3}){3}$/.test(host);
    const address = addressBytes(host.replaceAll("-", isIpv4 ? "." : ":"));
    if (address === undefined) return undefined;
    const type = address.length === 4 ? types.A : types.AAAA;
    if (query.type !== type && query.type !== types.ANY) return this.#negative(rcodes.NOERROR);
    return this.#positive(query, [address], type, this.#options.ttlSeconds);
  }

  #positive(query: Query, data: readonly Buffer[], type: number, ttlSeconds: number): Records {
    const name = query.question.subarray(HEADER_BYTES, query.question.length - 4);
    const answers = data.map((bytes) => ({ name, type, class: CLASS_IN, ttlSeconds, data: bytes }));
    return { rcode: rcodes.NOERROR, authoritative: true, answers };
  }

  #negative(rcode: Rcode): Records {
    return { rcode, authoritative: true, authorities: [this.#soa()] };
  }

  /** Its last number is how long a negative answer may be remembered. Source: RFC 2308 5 */
  #soa(): ResourceRecord {
    const { zone, ttlSeconds } = this.#options;
    const numbers = Buffer.alloc(20);
    for (const [i, value] of [this.#serial, 7200, 1800, 86_400, ttlSeconds].entries()) {
      numbers.writeUInt32BE(value, 4 * i);
    }
    const data = Buffer.concat([encodeName(`ns.dns.${zone}`), encodeName(`hostmaster.${zone}`), numbers]);
    return { name: this.#zoneName, type: types.SOA, class: CLASS_IN, ttlSeconds, data };
  }

  /** Addresses that are not the cluster's are for others to name. */
  #resolveReverse(query: Query, protocol: "udp" | "tcp"): ZoneAnswer {
    const limit = answerLimit(query, protocol);
    if (!this.#complete) {
      const records = { rcode: rcodes.SERVFAIL, authoritative: false };
      return { kind: "answer", bytes: answerRecords(query, records, limit) };
    }
    const owners = this.#reverse.get(query.key);
    if (owners === undefined) return { kind: "elsewhere" };
    const names = [...new Set([...owners.values()].flat())].map(encodeName);
    const records = this.#positive(query, names, types.PTR, this.#options.ttlSeconds);
    return { kind: "answer", bytes: answerRecords(query, records, limit) };
  }
}

const reverseSuffixes = [nameKey("in-addr.arpa"), nameKey("ip6.arpa")];

function isReverse(key: string): boolean {
  return reverseSuffixes.some((suffix) => key.endsWith(suffix));
}

function isBranch(label: string | undefined): boolean {
  return label === "svc" || label === "pod";
}
