/**
 * Which of a Service port's endpoints this node may use, per traffic policy: ready ones, near ones where topology hints
 * say so, and terminating ones that still serve when no ready one is left.
 * Source: KEP-1669 (terminating endpoints), KEP-2086 (internal traffic policy), KEP-2433 and KEP-3015 (topology)
 */
import { type Endpoint, isExternallyAccessible, type ServicePort } from "./service-port.ts";

export interface Topology {
  readonly nodeName: string;
  /** The node's topology.kubernetes.io/zone, "" when it has none. */
  readonly zone: string;
}

export interface SelectedEndpoints {
  /** For traffic under policy Cluster. */
  readonly cluster: readonly Endpoint[];
  /** For traffic under policy Local. */
  readonly local: readonly Endpoint[];
  /** Everything that this node may send to: the two together. */
  readonly reachable: readonly Endpoint[];
  /** Whether any node has an endpoint that could answer. */
  readonly exists: boolean;
}

const isFallback = (endpoint: Endpoint) => endpoint.serving && endpoint.terminating;

export function selectEndpoints(
  port: ServicePort,
  endpoints: readonly Endpoint[],
  topology: Topology,
): SelectedEndpoints {
  const external = isExternallyAccessible(port);
  // Even under an external policy Local, pods and the node itself reach external addresses as if from inside.
  const usesCluster = !port.internalLocal || external;
  const usesLocal = port.internalLocal || (port.externalLocal && external);
  const cluster = usesCluster ? readyOrFallback(endpoints, nearFilter(endpoints, topology)) : [];
  const local = usesLocal
    ? readyOrFallback(
        endpoints.filter((endpoint) => endpoint.local),
        () => true,
      )
    : [];
  const reachable = cluster.length === 0 ? local : [...cluster, ...local.filter((e) => !cluster.includes(e))];
  const exists = cluster.length > 0 || (usesLocal && endpoints.some((e) => e.ready || isFallback(e)));
  return { cluster, local, reachable, exists };
}

function readyOrFallback(endpoints: readonly Endpoint[], isNear: (endpoint: Endpoint) => boolean): readonly Endpoint[] {
  const ready = endpoints.filter((endpoint) => endpoint.ready && isNear(endpoint));
  return ready.length > 0 ? ready : endpoints.filter(isFallback);
}

/** Hints count only when every ready endpoint has one and one names this node or its zone; else all are near. */
function nearFilter(endpoints: readonly Endpoint[], topology: Topology): (endpoint: Endpoint) => boolean {
  const ready = endpoints.filter((endpoint) => endpoint.ready);
  const usable = (hintsOf: (endpoint: Endpoint) => readonly string[], name: string) =>
    ready.length > 0 &&
    ready.every((endpoint) => hintsOf(endpoint).length > 0) &&
    ready.some((endpoint) => hintsOf(endpoint).includes(name));
  if (usable((e) => e.nodeHints, topology.nodeName)) return (e) => e.nodeHints.includes(topology.nodeName);
  if (topology.zone !== "" && usable((e) => e.zoneHints, topology.zone)) {
    return (e) => e.zoneHints.includes(topology.zone);
  }
  return () => true;
}
