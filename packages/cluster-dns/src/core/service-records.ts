/**
 * What the DNS holds for one Service. Source: Kubernetes DNS specification 1.1, sections 2.3 to 2.5
 *
 *   web.default.svc        A/AAAA of the cluster IPs, or of every ready endpoint when headless; CNAME for ExternalName
 *   _http._tcp.web...      SRV for each named port
 *   pod-0.web.default.svc  A/AAAA of the endpoints with that hostname (or with their address as one)
 */
import type { Service } from "@knarr/api/generated/types/core-v1.ts";
import type { EndpointSlice } from "@knarr/api/generated/types/discovery-v1.ts";
import { type AnswerData, prepareSection, type Section } from "./answer.ts";
import { CLASS_IN, types } from "./codes.ts";
import type { ResourceRecord } from "./message.ts";
import { addressBytes, encodeName, MAX_LABEL_BYTES, nameKey, reverseName } from "./name.ts";

/** What one name holds: an answer per type. A name without any exists all the same (NODATA, not NXDOMAIN). */
export interface NameRecords {
  readonly sections: ReadonlyMap<number, Section>;
  /** The CNAME's target, wire form. */
  readonly alias?: Buffer;
}

export interface ServiceRecords {
  readonly names: ReadonlyMap<string, NameRecords>;
  /** Reverse name key -> the names that the address belongs to. */
  readonly reverse: ReadonlyMap<string, readonly string[]>;
}

export interface RecordOptions {
  /** "cluster.local", without a trailing dot. */
  readonly zone: string;
  readonly ttlSeconds: number;
}

interface Port {
  readonly name: string;
  /** "tcp", "udp", "sctp" */
  readonly protocol: string;
  readonly port: number;
}

interface Host {
  readonly hostname: string;
  readonly addresses: readonly Buffer[];
  readonly ports: readonly Port[];
}

const nothing: ServiceRecords = { names: new Map(), reverse: new Map() };
/** Priority 0; weights are shared out, as far as they go. Source: RFC 2782 */
const TOTAL_WEIGHT = 100;

export function recordsOfService(
  service: Service,
  slices: readonly EndpointSlice[],
  options: RecordOptions,
): ServiceRecords {
  const { spec, metadata } = service;
  const fullName = `${metadata.name}.${metadata.namespace}.svc.${options.zone}`.toLowerCase();
  if (spec === undefined) return nothing;
  if (spec.type === "ExternalName") return aliasRecords(fullName, spec.externalName ?? "", options);
  const hosts = hostsOf(slices);
  const clusterIps = spec.clusterIPs ?? (spec.clusterIP === undefined ? [] : [spec.clusterIP]);
  const builder = new Builder(fullName, options);
  if (clusterIps[0] === "None") {
    // Without a ready endpoint a headless Service has no name at all. Source: specification 2.4.1
    if (hosts.length === 0) return nothing;
    builder.addHeadless(hosts);
  } else {
    const addresses = clusterIps.map(addressBytes).filter((bytes) => bytes !== undefined);
    if (addresses.length === 0) return nothing;
    const ports = (spec.ports ?? []).map((port) => ({
      name: port.name ?? "",
      protocol: (port.protocol ?? "TCP").toLowerCase(),
      port: port.port,
    }));
    builder.addClusterIp(addresses, ports);
  }
  builder.addHosts(hosts);
  return builder.records();
}

function aliasRecords(fullName: string, externalName: string, options: RecordOptions): ServiceRecords {
  try {
    const alias = encodeName(externalName);
    const answer = { type: types.CNAME, ttlSeconds: options.ttlSeconds, data: alias };
    const section = prepareSection(encodeName(fullName).length + 4, [answer]);
    return {
      names: new Map([[nameKey(fullName), { sections: new Map([[types.CNAME, section]]), alias }]]),
      reverse: new Map(),
    };
  } catch (error) {
    // The API server's validation is wider than the wire format: what can't be written has no records.
    if (error instanceof RangeError) return nothing;
    throw error;
  }
}

/** Ready endpoints, one per hostname, with the addresses of all families and slices together. */
function hostsOf(slices: readonly EndpointSlice[]): Host[] {
  const hosts = new Map<string, { addresses: Map<string, Buffer>; ports: Map<string, Port> }>();
  for (const slice of slices) {
    if (slice.addressType === "FQDN") continue;
    for (const endpoint of slice.endpoints ?? []) {
      if (endpoint.conditions?.ready === false) continue;
      for (const text of endpoint.addresses.slice(0, 1)) {
        const bytes = addressBytes(text);
        if (bytes === undefined) continue;
        const hostname = (endpoint.hostname || text.replace(/[.:]/g, "-")).toLowerCase();
        const host = hosts.get(hostname) ?? { addresses: new Map(), ports: new Map() };
        hosts.set(hostname, host);
        host.addresses.set(text, bytes);
        for (const { name = "", protocol = "TCP", port } of slice.ports ?? []) {
          if (port === undefined) continue;
          host.ports.set(`${name} ${protocol} ${port}`, { name, protocol: protocol.toLowerCase(), port });
        }
      }
    }
  }
  return [...hosts.entries()]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([hostname, host]) => ({
      hostname,
      addresses: [...host.addresses.values()],
      ports: [...host.ports.values()],
    }));
}

class Builder {
  readonly #fullName: string;
  readonly #options: RecordOptions;
  readonly #names = new Map<string, NameRecords>();
  readonly #reverse = new Map<string, string[]>();

  constructor(fullName: string, options: RecordOptions) {
    this.#fullName = fullName;
    this.#options = options;
  }

  records(): ServiceRecords {
    return { names: this.#names, reverse: this.#reverse };
  }

  addClusterIp(addresses: readonly Buffer[], ports: readonly Port[]): void {
    const self: Host = { hostname: "", addresses, ports };
    for (const address of addresses) this.#addReverse(address, this.#fullName);
    this.#addAddresses(this.#fullName, addresses, [self]);
    this.#addServices([self]);
  }

  addHeadless(hosts: readonly Host[]): void {
    this.#addAddresses(
      this.#fullName,
      hosts.flatMap((host) => host.addresses),
      hosts,
    );
    this.#addServices(hosts);
  }

  /** Endpoints by their own names; under Services with a cluster IP too, as CoreDNS has them. */
  addHosts(hosts: readonly Host[]): void {
    for (const host of hosts) {
      const name = this.#nameOf(host);
      if (host.hostname.length > MAX_LABEL_BYTES) continue;
      this.#addAddresses(name, host.addresses, [host]);
      for (const address of host.addresses) this.#addReverse(address, name);
    }
  }

  #nameOf(host: Host): string {
    return host.hostname === "" ? this.#fullName : `${host.hostname}.${this.#fullName}`;
  }

  #addReverse(address: Buffer, name: string): void {
    const key = nameKey(reverseName(address));
    const names = this.#reverse.get(key) ?? [];
    if (!names.includes(name)) names.push(name);
    this.#reverse.set(key, names);
  }

  #addAddresses(name: string, addresses: readonly Buffer[], hosts: readonly Host[]): void {
    const sections = new Map<number, Section>();
    const questionBytes = encodeName(name).length + 4;
    const { ttlSeconds } = this.#options;
    for (const [type, length] of [
      [types.A, 4],
      [types.AAAA, 16],
    ] as const) {
      const ofType = addresses.filter((address) => address.length === length);
      const answers = ofType.map((data): AnswerData => ({ type, ttlSeconds, data }));
      if (answers.length > 0) sections.set(type, prepareSection(questionBytes, answers));
    }
    // Differs from the specification: SRV of the bare name lists all ports, as CoreDNS answers, because clients ask it.
    const all = hosts.flatMap((host) => host.ports.map((port) => ({ host, port })));
    const services = this.#prepareServices(questionBytes, all);
    if (services !== undefined) sections.set(types.SRV, services);
    this.#names.set(nameKey(name), { sections });
  }

  /** _port._protocol names, and the _protocol names between, which exist without records. Source: RFC 8020 */
  #addServices(hosts: readonly Host[]): void {
    const byName = new Map<string, { host: Host; port: Port }[]>();
    for (const host of hosts) {
      for (const port of host.ports) {
        // An unnamed port has no record, and a name that "_" makes too long for a label can't have one.
        if (port.name === "" || port.name.length >= MAX_LABEL_BYTES) continue;
        const name = `_${port.name}._${port.protocol}.${this.#fullName}`;
        const entries = byName.get(name) ?? [];
        entries.push({ host, port });
        byName.set(name, entries);
        this.#names.set(nameKey(`_${port.protocol}.${this.#fullName}`), { sections: new Map() });
      }
    }
    for (const [name, entries] of byName) {
      const section = this.#prepareServices(encodeName(name).length + 4, entries);
      if (section !== undefined) this.#names.set(nameKey(name), { sections: new Map([[types.SRV, section]]) });
    }
  }

  #prepareServices(
    questionBytes: number,
    entries: readonly { readonly host: Host; readonly port: Port }[],
  ): Section | undefined {
    if (entries.length === 0) return undefined;
    const { ttlSeconds } = this.#options;
    const weight = Math.max(1, Math.floor(TOTAL_WEIGHT / entries.length));
    const answers = entries.map(({ host, port }): AnswerData => {
      const fixed = Buffer.alloc(6);
      fixed.writeUInt16BE(weight, 2);
      fixed.writeUInt16BE(port.port, 4);
      return { type: types.SRV, ttlSeconds, data: Buffer.concat([fixed, encodeName(this.#nameOf(host))]) };
    });
    const hosts = [...new Set(entries.map(({ host }) => host))];
    const additionals = hosts.flatMap((host) => {
      const name = encodeName(this.#nameOf(host));
      return host.addresses.map((data): ResourceRecord => {
        const type = data.length === 4 ? types.A : types.AAAA;
        return { name, type, class: CLASS_IN, ttlSeconds, data };
      });
    });
    return prepareSection(questionBytes, answers, additionals);
  }
}
