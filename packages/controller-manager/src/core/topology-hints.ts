/**
 * Hints of endpoints: for whose traffic they are meant first. Pure.
 *
 * `spec.trafficDistribution` names each ready endpoint's own zone (PreferClose, PreferSameZone), or zone and node
 * (PreferSameNode). The older annotation topology-mode=Auto wins over it; it hands out endpoints to zones in proportion
 * to the zones' CPUs: each endpoint to its own zone, then as few as possible from zones with too many to zones with too few.
 *
 * Example: zones a (8 CPUs) and b (8 CPUs), endpoints 4 in a, 2 in b -> 3 and 3: one of a's is hinted for b.
 * Source: KEP-2433, KEP-4444, KEP-3015, k8s.io/endpointslice/{topologycache,trafficdist}
 */
import type { Node, Service } from "@knarr/api/generated/types/core-v1.ts";
import type { Endpoint, EndpointHints } from "@knarr/api/generated/types/discovery-v1.ts";
import { cpuMillis } from "@knarr/apimachinery/quantity.ts";

const ZONE_LABEL = "topology.kubernetes.io/zone";
const CONTROL_PLANE_LABELS = ["node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"];
/** How much more than its share an endpoint may get, of 1. */
const OVERLOAD = 0.2;

/** A zone's share of all CPUs; undefined when the nodes say too little. */
export type ZoneShares = ReadonlyMap<string, number> | undefined;

export function wantsTopologyHints({ metadata }: Service): boolean {
  const mode =
    metadata.annotations?.["service.kubernetes.io/topology-mode"] ??
    metadata.annotations?.["service.kubernetes.io/topology-aware-hints"];
  return mode === "Auto" || mode === "auto";
}

export function zoneShares(nodes: readonly Node[]): ZoneShares {
  const cpus = new Map<string, number>();
  let total = 0;
  for (const { metadata, status } of nodes) {
    if (CONTROL_PLANE_LABELS.some((label) => metadata.labels?.[label] !== undefined)) continue;
    if (!status?.conditions?.some(({ type, status: is }) => type === "Ready" && is === "True")) continue;
    const zone = metadata.labels?.[ZONE_LABEL] ?? "";
    const cpu = cpuMillis(status?.allocatable?.cpu ?? "0");
    if (zone === "" || cpu === 0) return undefined;
    total += cpu;
    cpus.set(zone, (cpus.get(zone) ?? 0) + cpu);
  }
  if (total === 0 || cpus.size < 2) return undefined;
  return new Map([...cpus].map(([zone, cpu]) => [zone, cpu / total]));
}

/** What `spec.trafficDistribution` alone says of an endpoint. */
export function distributionHints(service: Service, endpoint: Endpoint): EndpointHints | undefined {
  const wish = service.spec?.trafficDistribution;
  const close = wish === "PreferClose" || wish === "PreferSameZone" || wish === "PreferSameNode";
  if (!close || wantsTopologyHints(service) || endpoint.conditions?.ready !== true) return undefined;
  const { zone, nodeName } = endpoint;
  const forNodes = wish === "PreferSameNode" && nodeName !== undefined ? [{ name: nodeName }] : undefined;
  if (zone === undefined && forNodes === undefined) return undefined;
  return {
    ...(zone === undefined ? {} : { forZones: [{ name: zone }] }),
    ...(forNodes === undefined ? {} : { forNodes }),
  };
}

export type HintsPlan =
  /** The zone of each ready endpoint. */
  | { readonly kind: "hints"; readonly zones: ReadonlyMap<Endpoint, string> }
  | { readonly kind: "none"; readonly why: string };

/** `current` is the zone that an endpoint is hinted for now: kept while it does no harm, because each change is a write. */
export function planTopologyHints(
  endpoints: readonly Endpoint[],
  shares: ZoneShares,
  current: (endpoint: Endpoint) => string | undefined,
): HintsPlan {
  const ready = endpoints.filter(({ conditions }) => conditions?.ready === true);
  const allocations = allocate(ready.length, shares);
  if (typeof allocations === "string") return { kind: "none", why: allocations };
  const zones = new Map<Endpoint, string>();
  const counts = new Map<string, number>();
  const count = (zone: string, by: number) => counts.set(zone, (counts.get(zone) ?? 0) + by);
  const fresh: Endpoint[] = [];
  for (const endpoint of ready) {
    const zone = current(endpoint);
    const maximum = zone === undefined ? undefined : allocations.get(zone)?.maximum;
    if (zone === undefined || maximum === undefined || (counts.get(zone) ?? 0) >= maximum) {
      fresh.push(endpoint);
      continue;
    }
    zones.set(endpoint, zone);
    count(zone, 1);
  }
  for (const endpoint of fresh) {
    const zone = endpoint.zone ?? "";
    if (zone === "") return { kind: "none", why: "One or more endpoints do not have a zone specified" };
    zones.set(endpoint, zone);
    count(zone, 1);
  }
  redistribute(zones, { fresh, allocations, counts });
  return { kind: "hints", zones };
}

interface Allocation {
  readonly minimum: number;
  readonly maximum: number;
  readonly desired: number;
}

function allocate(endpoints: number, shares: ZoneShares): ReadonlyMap<string, Allocation> | string {
  if (shares === undefined) {
    return "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes";
  }
  const sizes = `(${endpoints} endpoints, ${shares.size} zones)`;
  if (shares.size > endpoints) return `Insufficient number of endpoints ${sizes}`;
  const minimums = new Map(
    [...shares].map(([zone, share]) => [zone, Math.ceil((share * endpoints) / (1 + OVERLOAD))] as const),
  );
  const total = [...minimums.values()].reduce((sum, n) => sum + n, 0);
  if (total > endpoints) {
    return `Unable to allocate minimum required endpoints to each zone without exceeding overload threshold ${sizes}`;
  }
  return new Map(
    [...shares].map(([zone, share]) => {
      const minimum = minimums.get(zone) ?? 0;
      return [
        zone,
        { minimum, maximum: minimum + endpoints - total, desired: Math.max(share * endpoints, minimum) },
      ] as const;
    }),
  );
}

/** Moves endpoints between zones until none is short of one while another has one too many. */
function redistribute(
  zones: Map<Endpoint, string>,
  of: {
    fresh: readonly Endpoint[];
    allocations: ReadonlyMap<string, Allocation>;
    counts: ReadonlyMap<string, number>;
  },
): void {
  const surplus = new Map<string, number>();
  for (const [zone, { desired }] of of.allocations) surplus.set(zone, (of.counts.get(zone) ?? 0) - desired);
  const movable = [...of.fresh];
  for (;;) {
    const ordered = [...surplus].sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1));
    const [giving, more] = ordered[0] ?? ["", 0];
    const [receiving, less] = ordered.at(-1) ?? ["", 0];
    const missing = -less;
    if (more < 0.5 || missing < 0.5 || (more < 1 && missing < 1)) return;
    const at = movable.findIndex((endpoint) => zones.get(endpoint) === giving);
    const [endpoint] = at < 0 ? [] : movable.splice(at, 1);
    if (endpoint === undefined) return;
    zones.set(endpoint, receiving);
    surplus.set(giving, more - 1);
    surplus.set(receiving, less + 1);
  }
}
