/** Small rules of the core that need no more than a table each. */
import assert from "node:assert/strict";
import test from "node:test";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { CrashBackoff, goSeconds } from "./crash-backoff.ts";
import { computeDnsConfig, parseResolvConf } from "./dns-config.ts";
import { pullPolicy, withDefaultTag } from "./image-name.ts";
import { LogFormatter, parseLogLine, parseLogOptions } from "./log-line.ts";
import { renderHostsFile, sandboxHostname } from "./pod-hostname.ts";
import { advanceLifecycle, type PodLifecycle } from "./pod-lifecycle.ts";
import { advanceProbe, initialProbeState, type ProbeKind, type ProbeResult } from "./probe-state.ts";
import { cpuQuota, cpuShares, cpuWeight, oomScoreAdj, podCgroupLimits, qosClass } from "./qos.ts";
import { container, pod } from "./testing.ts";

const resources = (requests: Record<string, string>, limits: Record<string, string>) => ({
  resources: { requests, limits },
});
const full = { cpu: "1", memory: "1Gi" };
const classes: { name: string; pod: Pod; want: string }[] = [
  { name: "nothing is asked for", pod: pod(), want: "BestEffort" },
  {
    name: "requests equal limits",
    pod: pod({ containers: [container("a", resources(full, full))] }),
    want: "Guaranteed",
  },
  {
    name: "only limits are set",
    pod: pod({ containers: [container("a", { resources: { limits: full } })] }),
    want: "Guaranteed",
  },
  {
    name: "one container has no limits",
    pod: pod({ containers: [container("a", resources(full, full)), container("b")] }),
    want: "Burstable",
  },
  {
    name: "the values are written differently",
    pod: pod({ containers: [container("a", resources({ cpu: "1000m", memory: "1024Mi" }, full))] }),
    want: "Guaranteed",
  },
  {
    name: "only the processor is asked for",
    pod: pod({ containers: [container("a", resources({ cpu: "1" }, {}))] }),
    want: "Burstable",
  },
];
for (const row of classes)
  test(`qosClass() is ${row.want} when ${row.name}`, () => assert.equal(qosClass(row.pod), row.want));

test("cpuShares(), cpuQuota() and cpuWeight() stay within the kernel's bounds", () => {
  assert.deepEqual([0, 1, 500, 1000, 1e9].map(cpuShares), [2, 2, 512, 1024, 262_144]);
  assert.deepEqual(
    [0, 1, 500].map((m) => cpuQuota(m)),
    [0, 1000, 50_000],
  );
  assert.deepEqual([2, 1024, 262_144].map(cpuWeight), [1, 39, 10_000]);
});

test("oomScoreAdj() spares those that reserved their memory", () => {
  const burstable = container("a", resources({ memory: "256Mi" }, {}));
  assert.equal(oomScoreAdj(pod(), container("a"), 2 ** 30), 1000);
  assert.equal(oomScoreAdj(pod({ containers: [burstable] }), burstable, 2 ** 30), 750);
  const critical = { priority: 2_000_001_000, priorityClassName: "system-node-critical" };
  assert.equal(oomScoreAdj(pod(critical), container("a"), 2 ** 30), -997);
  assert.equal(
    oomScoreAdj(pod({ ...critical, priorityClassName: "system-cluster-critical" }), container("a"), 1),
    1000,
  );
  const huge = container("a", { resources: { requests: { memory: "2Gi" } } });
  assert.equal(oomScoreAdj(pod({ containers: [huge] }), huge, 2 ** 30), 3, "never as safe as guaranteed pods");
  const tiny = container("a", { resources: { requests: { memory: "1" } } });
  assert.equal(oomScoreAdj(pod({ containers: [tiny] }), tiny, 2 ** 30), 999, "never as likely as best-effort ones");
  const sidecar = container("s", { restartPolicy: "Always" });
  assert.equal(oomScoreAdj(pod({ containers: [burstable], initContainers: [sidecar] }), sidecar, 2 ** 30), 750);
  const both = { containers: [container("a"), container("b")], resources: { requests: { memory: "512Mi" } } };
  assert.equal(oomScoreAdj(pod(both), container("a"), 2 ** 30), 750, "the pod's own request is shared");
});

test("podCgroupLimits() sums containers and sidecars, and has no limit where one of them has none", () => {
  const limited = container("a", resources({ cpu: "250m" }, { cpu: "500m", memory: "64Mi" }));
  const init = container("i", { ...resources({ cpu: "1" }, { cpu: "2", memory: "32Mi" }) });
  assert.deepEqual(podCgroupLimits(pod({ containers: [limited], initContainers: [init] })), {
    cpuShares: 1024,
    cpuQuotaUs: 200_000,
    memoryLimitBytes: 64 * 2 ** 20,
  });
  assert.equal(podCgroupLimits(pod({ containers: [limited, container("b")] })).memoryLimitBytes, undefined);
});

test("CrashBackoff doubles from 10 s to 300 s and forgets after ten quiet minutes", () => {
  const backoff = new CrashBackoff();
  let now = 0;
  const delays: number[] = [];
  for (let crash = 0; crash < 8; crash++) {
    delays.push(backoff.remainingMs("k", now, { now, monotonicMs: now }));
    now += delays.at(-1) ?? 0;
    backoff.step("k", now, now);
    now += 1000;
  }
  assert.deepEqual(
    delays,
    [0, 10, 20, 40, 80, 160, 300, 300].map((s) => s * 1000),
  );
  assert.equal(backoff.remainingMs("k", now + 601_000, { now: now + 601_000, monotonicMs: now }), 0);
  assert.deepEqual([10_000, 160_000, 300_000].map(goSeconds), ["10s", "2m40s", "5m0s"]);
});

test("advanceLifecycle() only ever shortens a grace, and refuses what cannot happen", () => {
  const end = (graceSeconds: number) => ({ type: "terminate", cause: "deleted", graceSeconds, now: 1 }) as const;
  let state: PodLifecycle = advanceLifecycle({ state: "syncing" }, end(30));
  assert.equal(advanceLifecycle(state, end(60)), state);
  state = advanceLifecycle(state, end(0));
  assert.equal(state.state === "terminating" && state.graceSeconds, 1);
  state = advanceLifecycle(state, { type: "stopped" });
  assert.throws(() => advanceLifecycle(state, { type: "stopped" }), /terminated cannot be stopped/);
  assert.deepEqual(advanceLifecycle(state, { type: "cleaned" }), { state: "gone" });
});

const S = "success";
const F = "failure";
const probes: { kind: ProbeKind; results: ProbeResult[]; want: string; held: boolean }[] = [
  { kind: "readiness", results: [], want: "failure", held: false },
  { kind: "readiness", results: [S], want: "failure", held: false },
  { kind: "readiness", results: [S, S], want: "success", held: false },
  { kind: "readiness", results: [S, S, F, F], want: "success", held: false },
  { kind: "readiness", results: [S, S, F, F, F], want: "failure", held: false },
  { kind: "liveness", results: [F, F, S, F, F], want: "success", held: false },
  { kind: "liveness", results: [F, F, "unknown", F], want: "failure", held: true },
  { kind: "liveness", results: [F, F, F, S, S], want: "failure", held: true },
  { kind: "startup", results: [F, F], want: "unknown", held: false },
  { kind: "startup", results: [F, S, S, F, F, F], want: "success", held: true },
];
for (const { kind, results, want, held } of probes) {
  test(`advanceProbe() of ${kind} is ${want} after [${results.join(" ")}]`, () => {
    let state = initialProbeState(kind);
    for (const result of results)
      state = advanceProbe(kind, { failureThreshold: 3, successThreshold: 2 }, state, result);
    assert.deepEqual([state.outcome, state.held], [want, held]);
  });
}

const host = parseResolvConf("# node\nnameserver 192.0.2.53\nsearch lan.example\noptions timeout:1\n");
const dns: { name: string; pod: Pod; want: unknown }[] = [
  {
    name: "ClusterFirst",
    pod: pod(),
    want: { servers: ["10.96.0.10"], searches: ["ns.svc.c.l", "svc.c.l", "c.l", "lan.example"], options: ["ndots:5"] },
  },
  { name: "ClusterFirst on the host's network", pod: pod({ hostNetwork: true }), want: host },
  { name: "Default", pod: pod({ dnsPolicy: "Default" }), want: host },
  {
    name: "None with a config",
    pod: pod({ dnsPolicy: "None", dnsConfig: { nameservers: ["1.1.1.1"], options: [{ name: "ndots", value: "1" }] } }),
    want: { servers: ["1.1.1.1"], searches: [], options: ["ndots:1"] },
  },
  {
    name: "ClusterFirst with a config on top",
    pod: pod({ dnsConfig: { searches: ["x"], options: [{ name: "ndots", value: "2" }, { name: "debug" }] } }),
    want: {
      servers: ["10.96.0.10"],
      searches: ["ns.svc.c.l", "svc.c.l", "c.l", "lan.example", "x"],
      options: ["ndots:2", "debug"],
    },
  },
];
for (const row of dns) {
  test(`computeDnsConfig() follows the policy ${row.name}`, () => {
    assert.deepEqual(
      computeDnsConfig({ pod: row.pod, clusterDns: ["10.96.0.10"], clusterDomain: "c.l", host }),
      row.want,
    );
  });
}

test("renderHostsFile() names the pod on every address; sandboxHostname() is its FQDN when asked", () => {
  const named = pod({ hostname: "box", subdomain: "sub", setHostnameAsFQDN: true });
  const lines = renderHostsFile(named, ["10.0.0.2", "fd00::2"], "c.l", "").split("\n");
  assert.deepEqual(lines.slice(-3), ["10.0.0.2\tbox.sub.ns.svc.c.l\tbox", "fd00::2\tbox.sub.ns.svc.c.l\tbox", ""]);
  assert.equal(sandboxHostname(named, "c.l"), "box.sub.ns.svc.c.l");
  assert.equal(sandboxHostname(pod({}, { name: `${"a".repeat(62)}-tail` }), "c.l"), "a".repeat(62));
});

const images: [image: string, want: string | undefined][] = [
  ["web", "web:latest"],
  ["a.b:5000/c/d", "a.b:5000/c/d:latest"],
  ["web:1", "web:1"],
  [`web@sha256:${"a".repeat(64)}`, `web@sha256:${"a".repeat(64)}`],
  ["Web", undefined],
  ["a//b", undefined],
  ["web:", undefined],
  ["", undefined],
];
for (const [image, want] of images) {
  test(`withDefaultTag() ${want === undefined ? "refuses" : "accepts"} ${JSON.stringify(image)}`, () => {
    if (want !== undefined) assert.equal(withDefaultTag(image), want);
    else assert.throws(() => withDefaultTag(image), /invalid reference format/);
  });
}
test("pullPolicy() is Always for latest only", () => {
  assert.deepEqual(
    ["web", "web:latest", "web:1"].map((i) => pullPolicy(i, undefined)),
    ["Always", "Always", "IfNotPresent"],
  );
});

test("LogFormatter joins parts of a line, stamps each line once, and stops at the byte limit", () => {
  const options = parseLogOptions(new URLSearchParams("timestamps=true&limitBytes=12&stream=Stdout"), 0);
  const formatter = new LogFormatter(options);
  const lines = ["T1 stdout P ab", "T2 stdout F cd", "T3 stderr F no", "T4 stdout F efgh", "nonsense"];
  const out = lines.map((line) => {
    const parsed = parseLogLine(Buffer.from(line));
    return parsed === undefined ? undefined : formatter.format(parsed)?.toString();
  });
  assert.deepEqual(out, ["T1 ab", "cd\n", undefined, "T4 e", undefined]);
  assert.equal(formatter.done, true);
});

test("sandboxHostname() is the override where there is one, whatever else is asked for", () => {
  const named = pod({ hostnameOverride: "other.example", hostname: "box", subdomain: "sub", setHostnameAsFQDN: true });
  assert.equal(sandboxHostname(named, "c.l"), "other.example");
  assert.match(renderHostsFile(named, ["10.0.0.2"], "c.l", ""), /^10\.0\.0\.2\tother\.example$/m);
});

test("podCgroupLimits() puts overhead on top, also of what the pod has of its own", () => {
  const overhead = { cpu: "500m", memory: "64Mi" };
  const limits = { cpu: "1", memory: "64Mi" };
  const own = pod({ overhead, resources: { requests: { cpu: "1" }, limits } });
  const summed = pod({ overhead, containers: [container("main", { resources: { requests: { cpu: "1" }, limits } })] });
  const want = { cpuShares: 1536, cpuQuotaUs: 150_000, memoryLimitBytes: 128 * 2 ** 20 };
  assert.deepEqual(podCgroupLimits(own), want);
  assert.deepEqual(podCgroupLimits(summed), want);
  const unlimited = podCgroupLimits(pod({ overhead }));
  assert.deepEqual([unlimited.cpuQuotaUs, unlimited.memoryLimitBytes], [undefined, undefined]);
});

test("CrashBackoff waits no longer than the node's longest wait, and forgets after ten minutes all the same", () => {
  const backoff = new CrashBackoff({ maxMs: 15_000 });
  for (const [at, want] of [
    [0, 10_000],
    [20_000, 15_000],
    [600_000, 15_000],
    [1_300_000, 10_000],
  ] as const) {
    backoff.step("k", at, at);
    assert.equal(backoff.delayMs("k"), want);
  }
  const short = new CrashBackoff({ maxMs: 2000 });
  short.step("k", 0, 0);
  assert.equal(short.delayMs("k"), 2000);
});
