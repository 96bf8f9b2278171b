/**
 * What one Service port needs in IPVS mode, as claims to elements: virtual servers with their real servers, addresses of
 * the dummy interface, entries of the ipsets.
 */
import { familyOf, joinHostPort, prefixContains } from "@knarr/netfilter/ip.ts";
import { virtualServerKey, type WantedServer } from "@knarr/netfilter/ipvs.ts";
import type { SetElement } from "../element-ledger.ts";
import type { PlanOptions } from "../plan-service.ts";
import { type SelectedEndpoints, selectEndpoints } from "../select-endpoints.ts";
import type { Endpoint, ServicePort } from "../service-port.ts";
import { type IpvsSet, setName } from "./layout.ts";

/** The ledger's names for what is no ipset. */
export const SERVERS = "virtual servers";
export const ADDRESSES = "addresses";

export interface IpvsPortPlan {
  readonly elements: readonly SetElement[];
  readonly withoutLocal: { readonly internal: boolean; readonly external: boolean };
}

export interface IpvsPortInput {
  readonly port: ServicePort;
  readonly endpoints: readonly Endpoint[];
  readonly options: PlanOptions;
  readonly scheduler: string;
}

class Plan {
  readonly elements: SetElement[] = [];
  readonly #input: IpvsPortInput;

  constructor(input: IpvsPortInput) {
    this.#input = input;
  }

  entry(set: IpvsSet, key: string): void {
    const { port, options } = this.#input;
    this.elements.push({ owner: port.name, set: setName(set, options.family), key, value: "" });
  }

  /** A virtual server; its address is bound unless the node has it anyway. */
  server(address: string, portNumber: number, endpoints: readonly Endpoint[]): void {
    const { port, scheduler } = this.#input;
    const key = virtualServerKey(port.protocol, joinHostPort(address, portNumber));
    const persistence = port.affinitySeconds === undefined ? "" : ` -p ${port.affinitySeconds}`;
    const servers = endpoints.map((endpoint) => joinHostPort(endpoint.address, endpoint.port));
    const value = encodeServer({ options: `-s ${scheduler}${persistence}`, servers: new Set(servers) });
    this.elements.push({ owner: port.name, set: SERVERS, key, value });
  }

  bind(address: string): void {
    const { port, options } = this.#input;
    if (options.nodeIps.includes(address) || options.nodePortIps?.includes(address) === true) return;
    this.elements.push({ owner: port.name, set: ADDRESSES, key: address, value: "" });
    this.entry("IPVS-IPS", address);
  }
}

export function planIpvsPort(input: IpvsPortInput): IpvsPortPlan {
  const { port, options } = input;
  const selected = selectEndpoints(port, input.endpoints, options);
  const withoutLocal = {
    internal: selected.exists && port.internalLocal && selected.local.length === 0,
    external: selected.exists && port.externalLocal && selected.local.length === 0,
  };
  const plan = new Plan(input);
  addInternal(plan, input, selected, withoutLocal.internal);
  addExternal(plan, input, selected, withoutLocal.external);
  addNodePort(plan, input, selected, withoutLocal.external);
  for (const endpoint of selected.reachable) {
    if (!endpoint.local) continue;
    // Hairpin: a pod that reaches itself through the Service must see another source, or it would answer directly.
    plan.entry("LOOP-BACK", `${endpoint.address},${port.protocol}:${endpoint.port},${endpoint.address}`);
  }
  return { elements: plan.elements, withoutLocal };
}

function addInternal(plan: Plan, { port }: IpvsPortInput, selected: SelectedEndpoints, drops: boolean): void {
  const entry = `${port.clusterIp},${port.protocol}:${port.port}`;
  plan.bind(port.clusterIp);
  plan.entry("CLUSTER-IP", entry);
  // Without real servers the kernel refuses; what is to be dropped must not meet a virtual server.
  if (drops) plan.entry("DROP", entry);
  else plan.server(port.clusterIp, port.port, port.internalLocal ? selected.local : selected.cluster);
}

/**
 * One virtual server answers pods and the outside alike, so under policy Local both get this node's endpoints; when there
 * are none, pods and the node get the others and what comes from outside is dropped.
 */
function externalEndpoints(port: ServicePort, selected: SelectedEndpoints): readonly Endpoint[] {
  return port.externalLocal && selected.local.length > 0 ? selected.local : selected.cluster;
}

function addExternal(plan: Plan, input: IpvsPortInput, selected: SelectedEndpoints, drops: boolean): void {
  const { port } = input;
  const endpoints = externalEndpoints(port, selected);
  for (const address of port.externalIps) {
    const entry = `${address},${port.protocol}:${port.port}`;
    plan.bind(address);
    plan.entry(port.externalLocal ? "EXTERNAL-IP-LOCAL" : "EXTERNAL-IP", entry);
    if (drops) plan.entry("DROP-EXTERNAL", entry);
    plan.server(address, port.port, endpoints);
  }
  for (const address of port.loadBalancerIps) {
    const entry = `${address},${port.protocol}:${port.port}`;
    plan.bind(address);
    plan.entry("LOAD-BALANCER", entry);
    if (port.externalLocal) plan.entry("LOAD-BALANCER-LOCAL", entry);
    if (port.sourceRanges.length > 0) addSourceRanges(plan, input, address, entry);
    if (drops) plan.entry("DROP-EXTERNAL", entry);
    plan.server(address, port.port, endpoints);
  }
}

function addSourceRanges(plan: Plan, { port, options }: IpvsPortInput, address: string, entry: string): void {
  plan.entry("LOAD-BALANCER-FW", entry);
  for (const range of port.sourceRanges) {
    for (const part of settableRanges(range)) plan.entry("LOAD-BALANCER-SOURCE-CIDR", `${entry},${part}`);
  }
  // The node itself sends to a balancer address from that very address, which is bound to the node.
  if (options.nodeIps.some((ip) => port.sourceRanges.some((range) => prefixContains(range, ip)))) {
    plan.entry("LOAD-BALANCER-SOURCE-IP", `${entry},${address}`);
  }
}

/** A set holds no prefix of length 0, and tells a single address without its length. */
function settableRanges(range: string): readonly string[] {
  const family = familyOf(range);
  if (range.endsWith("/0")) return family === "ipv4" ? ["0.0.0.0/1", "128.0.0.0/1"] : ["::/1", "8000::/1"];
  return [range.replace(family === "ipv4" ? /\/32$/ : /\/128$/, "")];
}

function addNodePort(plan: Plan, { port, options }: IpvsPortInput, selected: SelectedEndpoints, drops: boolean): void {
  if (port.healthCheckNodePort !== 0) plan.entry("HEALTH-CHECK-NODE-PORT", String(port.healthCheckNodePort));
  if (port.nodePort === 0) return;
  const endpoints = externalEndpoints(port, selected);
  const number = String(port.nodePort);
  switch (port.protocol) {
    case "tcp":
      plan.entry("NODE-PORT-TCP", number);
      if (port.externalLocal) plan.entry("NODE-PORT-LOCAL-TCP", number);
      break;
    case "udp":
      plan.entry("NODE-PORT-UDP", number);
      if (port.externalLocal) plan.entry("NODE-PORT-LOCAL-UDP", number);
      break;
    case "sctp":
      break;
    default:
      throw new TypeError(`unknown protocol ${JSON.stringify(port.protocol satisfies never)}`);
  }
  for (const address of options.nodePortIps ?? []) {
    const entry = `${address},${port.protocol}:${number}`;
    if (port.protocol === "sctp") {
      plan.entry("NODE-PORT-SCTP-HASH", entry);
      if (port.externalLocal) plan.entry("NODE-PORT-LOCAL-SCTP-HASH", entry);
    }
    if (drops) plan.entry("DROP-EXTERNAL", entry);
    plan.server(address, port.nodePort, endpoints);
  }
}

/** One text per virtual server: its options, and after a line break its real servers. */
function encodeServer({ options, servers }: WantedServer): string {
  return `${options}\n${[...servers].join(" ")}`;
}

export function decodeServer(text: string): WantedServer {
  const [options = "", servers = ""] = text.split("\n");
  return { options, servers: new Set(servers === "" ? [] : servers.split(" ")) };
}
