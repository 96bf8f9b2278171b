/**
 * Keeps the last two points of every node and container and tells the use between them. Pure: times are in the points.
 *
 *   t=0 s  cpu 10.0 s   t=15 s  cpu 11.5 s   ->  0.1 cores, window 15 s, timestamp t=15 s
 *
 * Source: metrics-server pkg/storage
 */
import type { NodeSamples, Point } from "./parse-samples.ts";

export interface Use {
  /** Billionths of a core. */
  readonly cpuNanoCores: bigint;
  readonly memoryBytes: bigint;
  /** The end of the window. */
  readonly atMs: number;
  readonly windowMs: number;
}

export interface PodUse {
  readonly atMs: number;
  readonly windowMs: number;
  readonly containers: ReadonlyMap<string, Use>;
}

interface Pair {
  readonly previous: Point | undefined;
  readonly last: Point;
}

interface NodeUse {
  readonly storedAtMs: number;
  readonly node: Pair | undefined;
  readonly pods: ReadonlyMap<string, ReadonlyMap<string, Pair>>;
}

/** A container younger than this has used too little to tell. Source: metrics-server freshContainerMinMetricsResolution */
const MIN_FRESH_MS = 10_000;
/** And of one older than this, the mean since its start says nothing about now. */
const MAX_FRESH_MS = 60_000;

export class UsageStore {
  readonly #nodes = new Map<string, NodeUse>();

  /** Takes a node's new points; those that are not newer than what is known change nothing. */
  put(name: string, samples: NodeSamples, nowMs: number): void {
    const before = this.#nodes.get(name);
    const pods = new Map<string, Map<string, Pair>>();
    for (const [key, containers] of samples.pods) {
      const known = before?.pods.get(key);
      pods.set(
        key,
        new Map([...containers].map(([container, point]) => [container, next(known?.get(container), point)])),
      );
    }
    const node = samples.node === undefined ? undefined : next(before?.node, samples.node);
    this.#nodes.set(name, { storedAtMs: nowMs, node, pods });
  }

  /** Forgets nodes that are gone and nodes of which nothing was heard since `sinceMs`. */
  prune(present: ReadonlySet<string>, sinceMs: number): void {
    for (const [name, { storedAtMs }] of this.#nodes) {
      if (!present.has(name) || storedAtMs < sinceMs) this.#nodes.delete(name);
    }
  }

  node(name: string): Use | undefined {
    const pair = this.#nodes.get(name)?.node;
    return pair === undefined ? undefined : useOf(pair);
  }

  /** Undefined until all of the pod's containers were seen twice. */
  pod(nodeName: string, key: string): PodUse | undefined {
    const pairs = this.#nodes.get(nodeName)?.pods.get(key);
    if (pairs === undefined || pairs.size === 0) return undefined;
    const containers = new Map<string, Use>();
    let earliest: Use | undefined;
    for (const [name, pair] of pairs) {
      const use = useOf(pair);
      if (use === undefined) return undefined;
      containers.set(name, use);
      if (earliest === undefined || use.atMs < earliest.atMs) earliest = use;
    }
    return earliest === undefined ? undefined : { atMs: earliest.atMs, windowMs: earliest.windowMs, containers };
  }
}

function next(known: Pair | undefined, point: Point): Pair {
  const last = known?.last;
  // Restarted since, or counted anew: the old point says nothing about this life.
  const sameLife = last !== undefined && point.startedMs <= last.atMs && point.cpuSeconds >= last.cpuSeconds;
  if (!sameLife) return { previous: birthOf(point), last: point };
  if (point.atMs > last.atMs) return { previous: last, last: point };
  return known ?? { previous: undefined, last: point };
}

/** A young container is measured from its start on. */
function birthOf(point: Point): Point | undefined {
  const ageMs = point.atMs - point.startedMs;
  if (ageMs < MIN_FRESH_MS || ageMs > MAX_FRESH_MS) return undefined;
  return { ...point, atMs: point.startedMs, cpuSeconds: 0 };
}

function useOf({ previous, last }: Pair): Use | undefined {
  if (previous === undefined) return undefined;
  const windowMs = last.atMs - previous.atMs;
  if (windowMs <= 0) return undefined;
  const cores = ((last.cpuSeconds - previous.cpuSeconds) * 1000) / windowMs;
  return {
    cpuNanoCores: BigInt(Math.round(cores * 1e9)),
    memoryBytes: BigInt(Math.round(last.memoryBytes)),
    atMs: last.atMs,
    windowMs,
  };
}
