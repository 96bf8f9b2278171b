/**
 * One table of packet flows: what happens to a connection, whatever backend made the rules. Unit tests trace it through
 * the rules in pure code, integration tests send the packets through a kernel.
 *
 *   outside 192.168.100.2 ---- 192.168.100.1 node ---- bridge 10.180.0.1 ---- pod-a 10.180.0.2
 *   remote  10.180.1.2  (behind 192.168.100.2)                          \---- pod-b 10.180.0.3
 */
import type { Service } from "@knarr/api/generated/types/core-v1.ts";
import type { Endpoint, EndpointSlice } from "@knarr/api/generated/types/discovery-v1.ts";
import type { PlanOptions } from "../core/plan-service.ts";
import type { ServiceView } from "../core/planned-port.ts";

export const net = {
  podPrefix: "10.180.0.0/16",
  node: "192.168.100.1",
  bridge: "10.180.0.1",
  outside: "192.168.100.2",
  podA: "10.180.0.2",
  podB: "10.180.0.3",
  remote: "10.180.1.2",
} as const;

/** Where a connection comes from: pod-a on this node, the node itself, a machine outside, or a pod on another node. */
export type Client = "podA" | "node" | "outside" | "remote";
export const podPort = 8080;
const serviceIp = "10.96.0.20";
const balancerIp = "203.0.113.10";
const externalIp = "198.51.100.7";
export const podA = `${net.podA}:${podPort}`;
export const podB = `${net.podB}:${podPort}`;
export const remote = `${net.remote}:${podPort}`;

export const planOptions: PlanOptions = {
  family: "ipv4",
  nodeName: "node-1",
  zone: "",
  nodeIps: [net.node],
  localDetector: { kind: "prefix", prefix: net.podPrefix },
  masqueradeAll: false,
  masqueradeMark: 0x4000,
  randomFully: true,
  localhostNodePorts: true,
  nodePortIps: undefined,
  dropInvalid: true,
};

interface SpecOptions {
  readonly spec?: NonNullable<Service["spec"]>;
  readonly status?: NonNullable<Service["status"]>;
  readonly endpoints?: readonly Endpoint[];
  readonly protocol?: "TCP" | "UDP" | "SCTP";
  readonly name?: string;
}

/** An endpoint of the pods above; `on` says which. */
export function endpointOn(on: "podA" | "podB" | "remote", rest: Partial<Endpoint> = {}): Endpoint {
  const conditions = { ready: true, serving: true, terminating: false };
  return { addresses: [net[on]], nodeName: on === "remote" ? "node-2" : "node-1", conditions, ...rest };
}

const terminating = { conditions: { ready: false, serving: true, terminating: true } };
const notReady = { conditions: { ready: false, serving: false, terminating: false } };

/** A Service "test/web" with port 80 and its one slice. */
export function serviceView(options: SpecOptions): ServiceView {
  const { protocol = "TCP", name = "web" } = options;
  const nodePort =
    options.spec?.type === "NodePort" || options.spec?.type === "LoadBalancer" ? { nodePort: 30080 } : {};
  const slice: EndpointSlice = {
    metadata: { namespace: "test", name: `${name}-1`, labels: { "kubernetes.io/service-name": name } },
    addressType: "IPv4",
    ports: [{ name: "http", port: podPort, protocol }],
    endpoints: [...(options.endpoints ?? [])],
  };
  return {
    service: {
      metadata: { namespace: "test", name },
      spec: {
        type: "ClusterIP",
        clusterIP: serviceIp,
        clusterIPs: [serviceIp],
        ports: [{ name: "http", port: 80, protocol, targetPort: podPort, ...nodePort }],
        ...options.spec,
      },
      ...(options.status === undefined ? {} : { status: options.status }),
    },
    slices: [slice],
  };
}

export interface Flow {
  readonly name: string;
  readonly view: ServiceView;
  readonly from: Client;
  readonly to: string;
  readonly protocol?: "tcp" | "udp";
  /** Where it may arrive, or how it is refused. "refused" is answered with ICMP, "dropped" not at all; what is "untranslated" meets nobody. */
  readonly want: readonly string[] | "refused" | "dropped" | "untranslated";
  /** Whether the endpoint sees another source than the client's: for every endpoint, or for the client itself only. */
  readonly masqueraded?: boolean | "hairpin";
  /** Repeated connections of one client stay with one endpoint. */
  readonly sticky?: boolean;
  readonly options?: Partial<PlanOptions>;
  /** Where the modes differ: what nftables and ipvs do instead. */
  readonly nftablesWant?: Flow["want"];
  readonly ipvsWant?: Flow["want"];
}

const three = [endpointOn("podA"), endpointOn("podB"), endpointOn("remote")];
const everywhere = [podA, podB, remote];
const nodePort = { type: "NodePort" } as const;
const local = { externalTrafficPolicy: "Local" } as const;
const balancer = { loadBalancer: { ingress: [{ ip: balancerIp }] } };
const toService = `${serviceIp}:80`;
const toNodePort = `${net.node}:30080`;
const toBalancer = `${balancerIp}:80`;

const clusterIpFlows: readonly Flow[] = [
  {
    name: "a pod reaches each endpoint, and itself masqueraded",
    view: serviceView({ endpoints: three }),
    from: "podA",
    to: toService,
    want: everywhere,
    masqueraded: "hairpin",
  },
  {
    name: "the node reaches each endpoint",
    view: serviceView({ endpoints: three }),
    from: "node",
    to: toService,
    want: everywhere,
    masqueraded: true,
  },
  {
    name: "a machine outside that routes to the node is masqueraded",
    view: serviceView({ endpoints: three }),
    from: "outside",
    to: toService,
    want: everywhere,
    masqueraded: true,
  },
  {
    name: "a pod of another node keeps its address",
    view: serviceView({ endpoints: [endpointOn("podA")] }),
    from: "remote",
    to: toService,
    want: [podA],
    masqueraded: false,
  },
  {
    name: "everything is masqueraded with masquerade-all",
    view: serviceView({ endpoints: [endpointOn("podB")] }),
    from: "podA",
    to: toService,
    want: [podB],
    masqueraded: true,
    options: { masqueradeAll: true },
  },
  {
    name: "UDP is translated too",
    view: serviceView({ endpoints: [endpointOn("podB")], protocol: "UDP" }),
    from: "podA",
    to: toService,
    protocol: "udp",
    want: [podB],
    masqueraded: false,
  },
  {
    name: "a Service without endpoints refuses pods",
    view: serviceView({}),
    from: "podA",
    to: toService,
    want: "refused",
  },
  {
    name: "a Service without endpoints refuses the node",
    view: serviceView({}),
    from: "node",
    to: toService,
    want: "refused",
  },
  {
    name: "endpoints that are not ready don't count",
    view: serviceView({ endpoints: [endpointOn("podA", notReady)] }),
    from: "podA",
    to: toService,
    want: "refused",
  },
  {
    name: "ready endpoints are preferred to terminating ones",
    view: serviceView({ endpoints: [endpointOn("podA", terminating), endpointOn("podB")] }),
    from: "podA",
    to: toService,
    want: [podB],
    masqueraded: false,
  },
  {
    name: "terminating endpoints that serve are used when no other is left",
    view: serviceView({ endpoints: [endpointOn("podA", notReady), endpointOn("podB", terminating)] }),
    from: "podA",
    to: toService,
    want: [podB],
    masqueraded: false,
  },
  {
    name: "internal policy Local stays on the node",
    view: serviceView({ spec: { internalTrafficPolicy: "Local" }, endpoints: three }),
    from: "podA",
    to: toService,
    want: [podA, podB],
    masqueraded: "hairpin",
  },
  {
    name: "internal policy Local without an endpoint here drops",
    view: serviceView({ spec: { internalTrafficPolicy: "Local" }, endpoints: [endpointOn("remote")] }),
    from: "podA",
    to: toService,
    want: "dropped",
  },
  {
    name: "session affinity keeps a client with its endpoint",
    view: serviceView({ spec: { sessionAffinity: "ClientIP" }, endpoints: three }),
    from: "outside",
    to: toService,
    want: everywhere,
    masqueraded: true,
    sticky: true,
  },
  {
    name: "node hints keep traffic on the node",
    view: serviceView({
      endpoints: [
        endpointOn("podB", { hints: { forNodes: [{ name: "node-1" }] } }),
        endpointOn("remote", { hints: { forNodes: [{ name: "node-2" }] } }),
      ],
    }),
    from: "podA",
    to: toService,
    want: [podB],
    masqueraded: false,
  },
  {
    name: "zone hints keep traffic in the zone",
    view: serviceView({
      endpoints: [
        endpointOn("podB", { hints: { forZones: [{ name: "zone-a" }] } }),
        endpointOn("remote", { hints: { forZones: [{ name: "zone-b" }] } }),
      ],
    }),
    from: "podA",
    to: toService,
    want: [remote],
    masqueraded: false,
    options: { zone: "zone-b" },
  },
];

/** Hints, as trafficDistribution PreferSameZone and PreferSameNode make them. Source: KEP-2433, KEP-3015 */
const hintFlows: readonly Flow[] = [
  {
    name: "hints of the node win over those of the zone",
    view: serviceView({
      endpoints: [
        endpointOn("podA", { hints: { forNodes: [{ name: "node-1" }], forZones: [{ name: "zone-a" }] } }),
        endpointOn("podB", { hints: { forNodes: [{ name: "node-3" }], forZones: [{ name: "zone-a" }] } }),
        endpointOn("remote", { hints: { forNodes: [{ name: "node-2" }], forZones: [{ name: "zone-a" }] } }),
      ],
    }),
    from: "podA",
    to: toService,
    want: [podA],
    masqueraded: "hairpin",
    options: { zone: "zone-a" },
  },
  {
    name: "without an endpoint for the node the zone's are taken",
    view: serviceView({
      endpoints: [
        endpointOn("podB", { hints: { forNodes: [{ name: "node-3" }], forZones: [{ name: "zone-a" }] } }),
        endpointOn("remote", { hints: { forNodes: [{ name: "node-2" }], forZones: [{ name: "zone-b" }] } }),
      ],
    }),
    from: "podA",
    to: toService,
    want: [podB],
    masqueraded: false,
    options: { zone: "zone-a" },
  },
  {
    name: "without an endpoint for the zone all are taken",
    view: serviceView({
      endpoints: [
        endpointOn("podB", { hints: { forZones: [{ name: "zone-a" }] } }),
        endpointOn("remote", { hints: { forZones: [{ name: "zone-b" }] } }),
      ],
    }),
    from: "podA",
    to: toService,
    want: [podB, remote],
    masqueraded: false,
    options: { zone: "zone-c" },
  },
  {
    name: "hints don't count when an endpoint has none",
    view: serviceView({
      endpoints: [endpointOn("podB", { hints: { forZones: [{ name: "zone-a" }] } }), endpointOn("remote")],
    }),
    from: "podA",
    to: toService,
    want: [podB, remote],
    masqueraded: false,
    options: { zone: "zone-a" },
  },
  {
    name: "hints lead outside traffic under policy Cluster too",
    view: serviceView({
      spec: nodePort,
      endpoints: [
        endpointOn("podB", { hints: { forZones: [{ name: "zone-a" }] } }),
        endpointOn("remote", { hints: { forZones: [{ name: "zone-b" }] } }),
      ],
    }),
    from: "outside",
    to: toNodePort,
    want: [podB],
    masqueraded: true,
    options: { zone: "zone-a" },
  },
  {
    name: "hints don't bind policy Local",
    view: serviceView({
      spec: { ...nodePort, ...local },
      endpoints: [
        endpointOn("podB", { hints: { forZones: [{ name: "zone-b" }] } }),
        endpointOn("remote", { hints: { forZones: [{ name: "zone-a" }] } }),
      ],
    }),
    from: "outside",
    to: toNodePort,
    want: [podB],
    masqueraded: false,
    options: { zone: "zone-a" },
  },
];

const externalFlows: readonly Flow[] = [
  {
    name: "a node port answers UDP",
    view: serviceView({ spec: nodePort, endpoints: [endpointOn("podB")], protocol: "UDP" }),
    from: "outside",
    to: toNodePort,
    protocol: "udp",
    want: [podB],
    masqueraded: true,
  },
  {
    name: "a node port keeps a client with its endpoint under session affinity",
    view: serviceView({ spec: { ...nodePort, sessionAffinity: "ClientIP" }, endpoints: three }),
    from: "outside",
    to: toNodePort,
    want: everywhere,
    masqueraded: true,
    sticky: true,
  },
  {
    name: "session affinity under external policy Local keeps the source",
    view: serviceView({ spec: { ...nodePort, ...local, sessionAffinity: "ClientIP" }, endpoints: three }),
    from: "outside",
    to: toNodePort,
    want: [podA, podB],
    masqueraded: false,
    sticky: true,
  },
  {
    name: "an external IP under policy Local keeps the source",
    view: serviceView({ spec: { externalIPs: [externalIp], ...local }, endpoints: three }),
    from: "outside",
    to: `${externalIp}:80`,
    want: [podA, podB],
    masqueraded: false,
  },
  {
    name: "an external IP under policy Local without an endpoint here drops",
    view: serviceView({ spec: { externalIPs: [externalIp], ...local }, endpoints: [endpointOn("remote")] }),
    from: "outside",
    to: `${externalIp}:80`,
    want: "dropped",
  },
  {
    name: "a balancer address under policy Local serves pods from everywhere",
    view: serviceView({
      spec: { type: "LoadBalancer", ...local },
      status: balancer,
      endpoints: [endpointOn("remote")],
    }),
    from: "podA",
    to: toBalancer,
    want: [remote],
    masqueraded: false,
  },
  {
    name: "overlapping source ranges admit what any of them admits",
    view: serviceView({
      spec: { type: "LoadBalancer", loadBalancerSourceRanges: ["192.168.0.0/16", "192.168.100.2/32", "192.0.2.0/24"] },
      status: balancer,
      endpoints: [endpointOn("podA")],
    }),
    from: "outside",
    to: toBalancer,
    want: [podA],
    masqueraded: true,
  },
  {
    name: "a node port answers outside, masqueraded",
    view: serviceView({ spec: nodePort, endpoints: three }),
    from: "outside",
    to: toNodePort,
    want: everywhere,
    masqueraded: true,
  },
  {
    name: "a node port answers pods",
    view: serviceView({ spec: nodePort, endpoints: [endpointOn("podB")] }),
    from: "podA",
    to: toNodePort,
    want: [podB],
    masqueraded: true,
  },
  {
    name: "a node port answers on localhost",
    view: serviceView({ spec: nodePort, endpoints: three }),
    from: "node",
    to: "127.0.0.1:30080",
    want: everywhere,
    masqueraded: true,
    // Node ports on loopback need route_localnet, which nftables mode leaves alone; nobody listens there.
    nftablesWant: "untranslated",
    ipvsWant: "untranslated",
  },
  {
    name: "a node port without endpoints refuses",
    view: serviceView({ spec: nodePort }),
    from: "outside",
    to: toNodePort,
    want: "refused",
  },
  {
    name: "external policy Local uses this node's endpoints and keeps the source",
    view: serviceView({ spec: { ...nodePort, ...local }, endpoints: three }),
    from: "outside",
    to: toNodePort,
    want: [podA, podB],
    masqueraded: false,
  },
  {
    name: "external policy Local does not bind pods",
    view: serviceView({ spec: { ...nodePort, ...local }, endpoints: [endpointOn("remote")] }),
    from: "podA",
    to: toNodePort,
    want: [remote],
    masqueraded: false,
  },
  {
    name: "external policy Local does not bind the node",
    view: serviceView({ spec: { ...nodePort, ...local }, endpoints: [endpointOn("remote")] }),
    from: "node",
    to: toNodePort,
    want: [remote],
    masqueraded: true,
  },
  {
    name: "external policy Local without an endpoint here drops",
    view: serviceView({ spec: { ...nodePort, ...local }, endpoints: [endpointOn("remote")] }),
    from: "outside",
    to: toNodePort,
    want: "dropped",
  },
  {
    name: "external policy Local leaves the cluster IP alone",
    view: serviceView({ spec: { ...nodePort, ...local }, endpoints: [endpointOn("remote")] }),
    from: "podA",
    to: toService,
    want: [remote],
    masqueraded: false,
  },
  {
    name: "external policy Local falls back to this node's terminating endpoint",
    view: serviceView({
      spec: { ...nodePort, ...local },
      endpoints: [endpointOn("podA", terminating), endpointOn("remote")],
    }),
    from: "outside",
    to: toNodePort,
    want: [podA],
    masqueraded: false,
  },
  {
    name: "an external IP leads to the endpoints",
    view: serviceView({ spec: { externalIPs: [externalIp] }, endpoints: three }),
    from: "outside",
    to: `${externalIp}:80`,
    want: everywhere,
    masqueraded: true,
  },
  {
    name: "an external IP without endpoints refuses",
    view: serviceView({ spec: { externalIPs: [externalIp] } }),
    from: "outside",
    to: `${externalIp}:80`,
    want: "refused",
  },
  {
    name: "a balancer address leads to the endpoints",
    view: serviceView({ spec: { type: "LoadBalancer" }, status: balancer, endpoints: three }),
    from: "outside",
    to: toBalancer,
    want: everywhere,
    masqueraded: true,
  },
  {
    name: "a balancer address admits its source ranges",
    view: serviceView({
      spec: { type: "LoadBalancer", loadBalancerSourceRanges: [" 192.168.100.0/24"] },
      status: balancer,
      endpoints: [endpointOn("podA")],
    }),
    from: "outside",
    to: toBalancer,
    want: [podA],
    masqueraded: true,
  },
  {
    name: "a balancer address drops other sources",
    view: serviceView({
      spec: { type: "LoadBalancer", loadBalancerSourceRanges: ["192.0.2.0/24"] },
      status: balancer,
      endpoints: [endpointOn("podA")],
    }),
    from: "outside",
    to: toBalancer,
    want: "dropped",
  },
  {
    name: "source ranges don't bind node ports",
    view: serviceView({
      spec: { type: "LoadBalancer", loadBalancerSourceRanges: ["192.0.2.0/24"] },
      status: balancer,
      endpoints: [endpointOn("podA")],
    }),
    from: "outside",
    to: toNodePort,
    want: [podA],
    masqueraded: true,
  },
];

export const flows: readonly Flow[] = [...clusterIpFlows, ...hintFlows, ...externalFlows];
