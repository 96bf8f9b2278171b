/**
 * What a kubelet's /metrics/resource says, as numbers: a reader of the Prometheus text format for the few series that
 * metrics.k8s.io is made from. Pure; anything else in the text is passed over, broken lines too, and numbers and times that
 * no kubelet means: an owned node must harm nobody's answers but its own.
 * Source: metrics-server pkg/scraper/client/resource/decode.go; prometheus.io exposition formats, text 0.0.4
 */

/** One moment of one container, or of the node. */
export interface Point {
  readonly atMs: number;
  readonly cpuSeconds: number;
  readonly memoryBytes: number;
  /** When the container started; 0 when that is not known. */
  readonly startedMs: number;
}

export interface NodeSamples {
  /** Undefined when the kubelet could not tell both CPU and memory. */
  readonly node: Point | undefined;
  /** By "namespace/pod", then by container. */
  readonly pods: ReadonlyMap<string, ReadonlyMap<string, Point>>;
}

type Draft = { -readonly [K in keyof Point]?: Point[K] };

const LINE = /^([a-z_]+)(?:\{([^}]*)\})?\s+(\S+)(?:\s+(-?\d+))?\s*$/;
const LABEL = /([a-z_]+)="((?:[^"\\]|\\.)*)"/g;
const FIELDS: Readonly<Record<string, { readonly of: "node" | "container"; readonly field: keyof Point }>> = {
  node_cpu_usage_seconds_total: { of: "node", field: "cpuSeconds" },
  node_memory_working_set_bytes: { of: "node", field: "memoryBytes" },
  container_cpu_usage_seconds_total: { of: "container", field: "cpuSeconds" },
  container_memory_working_set_bytes: { of: "container", field: "memoryBytes" },
  container_start_time_seconds: { of: "container", field: "startedMs" },
};

/** Clocks of nodes may differ by so much; other times are not believed. */
const MAX_SKEW_MS = 10 * 60_000;

/** `receivedAtMs` stands in for samples without a time of their own. */
export function parseSamples(text: string, receivedAtMs: number): NodeSamples {
  const node: Draft = {};
  const pods = new Map<string, Map<string, Draft>>();
  for (const line of text.split("\n")) {
    const match = LINE.exec(line);
    const [, name = "", labels = "", number = "", time] = match ?? [];
    const known = Object.hasOwn(FIELDS, name) ? FIELDS[name] : undefined;
    const value = Number(number);
    if (known === undefined || !(value >= 0 && value <= Number.MAX_SAFE_INTEGER)) continue;
    const draft = known.of === "node" ? node : containerDraft(pods, labels);
    if (draft === undefined) continue;
    draft[known.field] = known.field === "startedMs" ? value * 1000 : value;
    // The CPU counter's time is what rates are made from.
    if (known.field === "cpuSeconds") draft.atMs = believable(time, receivedAtMs);
  }
  return { node: complete(node), pods: completePods(pods) };
}

function believable(time: string | undefined, receivedAtMs: number): number {
  const atMs = time === undefined ? Number.NaN : Number(time);
  return Math.abs(atMs - receivedAtMs) <= MAX_SKEW_MS ? atMs : receivedAtMs;
}

function containerDraft(pods: Map<string, Map<string, Draft>>, labels: string): Draft | undefined {
  const values: Record<string, string> = {};
  for (const [, label = "", value = ""] of labels.matchAll(LABEL)) values[label] = unescaped(value);
  const { namespace, pod, container } = values;
  if (namespace === undefined || pod === undefined || container === undefined) return undefined;
  const key = `${namespace}/${pod}`;
  const containers = pods.get(key) ?? new Map<string, Draft>();
  pods.set(key, containers);
  const draft = containers.get(container) ?? {};
  containers.set(container, draft);
  return draft;
}

function unescaped(value: string): string {
  return value.replace(/\\(.)/g, (_, char: string) => (char === "n" ? "\n" : char));
}

function complete({ atMs, cpuSeconds, memoryBytes, startedMs = 0 }: Draft): Point | undefined {
  if (atMs === undefined || cpuSeconds === undefined || memoryBytes === undefined) return undefined;
  return { atMs, cpuSeconds, memoryBytes, startedMs };
}

/** Pods of which every container is known: half a pod's use would be taken for all of it. */
function completePods(drafts: Map<string, Map<string, Draft>>): Map<string, Map<string, Point>> {
  const pods = new Map<string, Map<string, Point>>();
  for (const [key, containers] of drafts) {
    const points = [...containers].map(([name, draft]) => [name, complete(draft)] as const);
    if (points.every((one): one is [string, Point] => one[1] !== undefined)) pods.set(key, new Map(points));
  }
  return pods;
}
