import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Point, parseSamples } from "./parse-samples.ts";
import { UsageStore } from "./usage-store.ts";

const TEXT = `# HELP container_cpu_usage_seconds_total [STABLE] Cumulative cpu time consumed by the container in core-seconds
# TYPE container_cpu_usage_seconds_total counter
container_cpu_usage_seconds_total{container="app",namespace="default",pod="web"} 1.5 100000
container_cpu_usage_seconds_total{container="odd\\"name",namespace="default",pod="web"} 2e-1 100500
container_memory_working_set_bytes{container="app",namespace="default",pod="web"} 1.048576e+06 100000
container_memory_working_set_bytes{container="odd\\"name",namespace="default",pod="web"} 2048 100500
container_start_time_seconds{container="app",namespace="default",pod="web"} 90
container_cpu_usage_seconds_total{container="half",namespace="default",pod="broken"} 1 100000
node_cpu_usage_seconds_total 77.25 100000
node_memory_working_set_bytes 5e+08
resource_scrape_error 0
not a line {{{
container_cpu_usage_seconds_total{container="app",namespace="default",pod="nan"} NaN 100000
`;

test("parseSamples() reads nodes and pods, and passes over what is broken", () => {
  const { node, pods } = parseSamples(TEXT, 100_900);
  assert.deepEqual(node, { atMs: 100_000, cpuSeconds: 77.25, memoryBytes: 5e8, startedMs: 0 });
  assert.deepEqual([...pods.keys()], ["default/web"]);
  assert.deepEqual(
    [...(pods.get("default/web") ?? [])],
    [
      ["app", { atMs: 100_000, cpuSeconds: 1.5, memoryBytes: 1_048_576, startedMs: 90_000 }],
      ['odd"name', { atMs: 100_500, cpuSeconds: 0.2, memoryBytes: 2048, startedMs: 0 }],
    ],
  );
});

const LIES: readonly { name: string; line: string }[] = [
  { name: "a time that no calendar has", line: "node_cpu_usage_seconds_total 5 999999999999999999" },
  { name: "a time before all time", line: "node_cpu_usage_seconds_total 5 -99999999999999" },
  { name: "more seconds than there are", line: "node_cpu_usage_seconds_total 1e300 100900" },
  { name: "no number", line: "node_cpu_usage_seconds_total +Inf 100900" },
];
for (const { name, line } of LIES) {
  test(`parseSamples() does not believe ${name}`, () => {
    const { node } = parseSamples(`${line}\nnode_memory_working_set_bytes 1\n`, 100_900);
    assert.ok(node === undefined || node.atMs === 100_900, JSON.stringify(node));
  });
}

test("a node's lies never make its use something that cannot be shown", () => {
  const value = fc.oneof(fc.double(), fc.constantFrom("1e308", "+Inf", "-1", "9007199254740991"));
  const round = fc.record({ cpu: value, memory: value, time: fc.oneof(fc.integer(), fc.maxSafeInteger()) });
  fc.assert(
    fc.property(fc.array(round, { minLength: 2, maxLength: 4 }), (rounds) => {
      const store = new UsageStore();
      for (const [i, { cpu, memory, time }] of rounds.entries()) {
        const text = `node_cpu_usage_seconds_total ${cpu} ${time}\nnode_memory_working_set_bytes ${memory} ${time}\n`;
        store.put("node", parseSamples(text, 1_000_000 + i * 15_000), 1_000_000 + i * 15_000);
        const use = store.node("node");
        if (use === undefined) continue;
        assert.ok(new Date(use.atMs).toISOString());
        assert.ok(use.cpuNanoCores >= 0n && use.memoryBytes >= 0n && use.windowMs > 0);
      }
    }),
  );
});

test("parseSamples() never throws, whatever it is given", () => {
  fc.assert(fc.property(fc.string(), (text) => parseSamples(text, 0).pods.size >= 0));
});

function samplesOf(point: Point) {
  return { node: point, pods: new Map([["ns/pod", new Map([["app", point]])]]) };
}

function point(atSeconds: number, cpuSeconds: number, startedSeconds = 0): Point {
  return { atMs: atSeconds * 1000, cpuSeconds, memoryBytes: 1024, startedMs: startedSeconds * 1000 };
}

const STORE_CASES: readonly { name: string; points: readonly Point[]; nanoCores?: bigint; windowMs?: number }[] = [
  { name: "knows nothing after one point of an old container", points: [point(1000, 5, 1)] },
  {
    name: "tells the use between two points",
    points: [point(100, 10, 1), point(115, 11.5, 1)],
    nanoCores: 100_000_000n,
  },
  {
    name: "compares the last two of three points",
    points: [point(100, 10, 1), point(115, 11.5, 1), point(130, 11.5, 1)],
    nanoCores: 0n,
  },
  {
    name: "keeps its answer when the same point comes again",
    points: [point(100, 10, 1), point(115, 11.5, 1), point(115, 11.5, 1)],
    nanoCores: 100_000_000n,
  },
  {
    name: "measures a young container from its start",
    points: [point(20, 2, 10)],
    nanoCores: 200_000_000n,
    windowMs: 10_000,
  },
  { name: "waits for a container that has just started", points: [point(15, 2, 10)] },
  { name: "starts anew with a container that was restarted", points: [point(100, 10, 1), point(115, 0.1, 110)] },
  { name: "starts anew when a counter fell", points: [point(100, 10), point(115, 1)] },
];

for (const { name, points, nanoCores, windowMs = 15_000 } of STORE_CASES) {
  test(`UsageStore ${name}`, () => {
    const store = new UsageStore();
    for (const one of points) store.put("node", samplesOf(one), one.atMs);
    const use = store.pod("node", "ns/pod");
    assert.equal(use?.containers.get("app")?.cpuNanoCores, nanoCores);
    if (nanoCores !== undefined) assert.equal(use?.windowMs, windowMs);
  });
}

test("UsageStore.pod() is silent until every container is known twice", () => {
  const store = new UsageStore();
  store.put("node", { node: undefined, pods: new Map([["ns/pod", new Map([["a", point(100, 1, 1)]])]]) }, 0);
  const both = new Map([
    ["a", point(115, 2, 1)],
    ["b", point(115, 2, 1)],
  ]);
  store.put("node", { node: undefined, pods: new Map([["ns/pod", both]]) }, 0);
  assert.equal(store.pod("node", "ns/pod"), undefined);
  assert.equal(store.node("node"), undefined);
});

test("UsageStore.prune() forgets nodes that are gone or silent", () => {
  const store = new UsageStore();
  for (const name of ["gone", "silent", "there"]) {
    for (const at of [100, 115]) store.put(name, samplesOf(point(at, at, 1)), name === "silent" ? 1 : 1000);
  }
  store.prune(new Set(["silent", "there"]), 500);
  const known = ["gone", "silent", "there"].map((name) => store.node(name) !== undefined);
  assert.deepEqual(known, [false, false, true]);
});

test("UsageStore never tells a negative use, nor more than the counters say", () => {
  const step = fc.record({ afterMs: fc.integer({ min: 1, max: 60_000 }), cpu: fc.integer({ min: 0, max: 1000 }) });
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 20 }), (steps) => {
      const store = new UsageStore();
      let atMs = 100_000;
      let most = 0;
      for (const { afterMs, cpu } of steps) {
        atMs += afterMs;
        most = Math.max(most, cpu);
        store.put("node", samplesOf({ atMs, cpuSeconds: cpu, memoryBytes: 1, startedMs: 0 }), atMs);
        const use = store.node("node");
        if (use === undefined) continue;
        assert.ok(use.cpuNanoCores >= 0n && use.windowMs > 0);
        assert.ok(Number(use.cpuNanoCores) * use.windowMs <= most * 1e12 + use.windowMs);
      }
    }),
  );
});
