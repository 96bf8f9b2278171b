import assert from "node:assert/strict";
import test from "node:test";
import type { Pod, PodStatus } from "@knarr/api/generated/types/core-v1.ts";
import fc from "fast-check";
import type { WaitingReason } from "./container-status.ts";
import { emptyObservedPod, type ObservedPod } from "./observed-pod.ts";
import { computePodStatus, type PodStatusInput } from "./pod-status.ts";
import { nextRestartCount } from "./restart-count.ts";
import { planStatusPatch } from "./status-patch.ts";
import { container, exited, observed, pod, ran, sandbox } from "./testing.ts";

const NOW = Date.parse("2026-01-02T03:04:05Z");

function status(thePod: Pod, state: ObservedPod, more: Partial<PodStatusInput> = {}): PodStatus {
  return computePodStatus({
    pod: thePod,
    observed: state,
    previous: {},
    runtimeName: "containerd",
    waiting: new Map<string, WaitingReason>(),
    ready: () => undefined,
    started: () => undefined,
    terminationMessages: new Map(),
    podIsOver: false,
    now: NOW,
    hostIps: ["192.0.2.1"],
    ...more,
  });
}

const conditionOf = (s: PodStatus, type: string) => s.conditions?.find((c) => c.type === type);
const crash = new Map([["main", { reason: "CrashLoopBackOff", message: "back-off" }]]);

const phases: { name: string; pod: Pod; observed: ObservedPod; more?: Partial<PodStatusInput>; want: string }[] = [
  { name: "nothing exists", pod: pod(), observed: emptyObservedPod("u1"), want: "Pending" },
  { name: "the container runs", pod: pod(), observed: observed([ran("main")]), want: "Running" },
  {
    name: "one of two containers is not made",
    pod: pod({ containers: [container("main"), container("b")] }),
    observed: observed([ran("main")]),
    want: "Pending",
  },
  {
    name: "the container crashed and comes back",
    pod: pod(),
    observed: observed([exited("main", 1)]),
    want: "Running",
  },
  {
    name: "the container waits in CrashLoopBackOff",
    pod: pod(),
    observed: observed([exited("main", 1)]),
    more: { waiting: crash },
    want: "Running",
  },
  {
    name: "all ended well and none comes back",
    pod: pod({ restartPolicy: "OnFailure" }),
    observed: observed([exited("main", 0)]),
    want: "Succeeded",
  },
  {
    name: "one failed and none comes back",
    pod: pod({ restartPolicy: "Never" }),
    observed: observed([exited("main", 3)]),
    want: "Failed",
  },
  {
    name: "an init container failed for good",
    pod: pod({ restartPolicy: "Never", initContainers: [container("a")] }),
    observed: observed([exited("a", 1)]),
    want: "Failed",
  },
  {
    name: "an init container failed and is tried again",
    pod: pod({ initContainers: [container("a")] }),
    observed: observed([exited("a", 1)]),
    want: "Pending",
  },
  {
    name: "the containers ended and a sidecar still runs",
    pod: pod({ restartPolicy: "Never", initContainers: [container("side", { restartPolicy: "Always" })] }),
    observed: observed([exited("main", 0), ran("side")]),
    want: "Running",
  },
  {
    name: "the pod is over and its container was killed",
    pod: pod(),
    observed: observed([exited("main", 137)]),
    more: { podIsOver: true },
    want: "Failed",
  },
  {
    name: "the pod is over and its container ended well",
    pod: pod(),
    observed: observed([exited("main", 0)]),
    more: { podIsOver: true },
    want: "Succeeded",
  },
  {
    name: "it was Failed before",
    pod: pod(),
    observed: observed([ran("main")]),
    more: { previous: { phase: "Failed" } },
    want: "Failed",
  },
  {
    name: "the kubelet refused it",
    pod: pod(),
    observed: emptyObservedPod("u1"),
    more: { verdict: { reason: "OutOfcpu", message: "m" } },
    want: "Failed",
  },
];
for (const row of phases) {
  test(`computePodStatus() says ${row.want} when ${row.name}`, () => {
    assert.equal(status(row.pod, row.observed, row.more).phase, row.want);
  });
}

test("computePodStatus() lists unready containers in the conditions' messages", () => {
  const s = status(pod({ containers: [container("b"), container("a")] }), observed([ran("b"), ran("a")]), {
    ready: () => false,
  });
  assert.equal(conditionOf(s, "Ready")?.message, "containers with unready status: [b a]");
  assert.equal(conditionOf(s, "Ready")?.reason, "ContainersNotReady");
  assert.deepEqual(
    s.containerStatuses?.map((c) => c.name),
    ["a", "b"],
  );
});

test("computePodStatus() lists unfinished init containers in order", () => {
  const s = status(pod({ initContainers: [container("z"), container("a")] }), observed([ran("z")]));
  assert.equal(conditionOf(s, "Initialized")?.message, "containers with incomplete status: [z a]");
  assert.equal(s.containerStatuses?.[0]?.state?.waiting?.reason, "PodInitializing");
});

test("computePodStatus() keeps a condition's transition time while its status stays", () => {
  const first = status(pod(), observed([ran("main")]));
  const later = status(pod(), observed([ran("main")]), { previous: first, now: NOW + 60_000 });
  assert.deepEqual(later.conditions, first.conditions);
});

test("computePodStatus() waits for readiness gates that others set", () => {
  const gated = pod({ readinessGates: [{ conditionType: "example.com/go" }] });
  const shut = status(gated, observed([ran("main")]));
  assert.equal(conditionOf(shut, "Ready")?.reason, "ReadinessGatesNotReady");
  assert.equal(conditionOf(shut, "ContainersReady")?.status, "True");
  const open = status(gated, observed([ran("main")]), {
    previous: { conditions: [{ type: "example.com/go", status: "True" }] },
  });
  assert.equal(conditionOf(open, "Ready")?.status, "True");
});

test("computePodStatus() shows a crashed container as waiting, with what it died of as its last state", () => {
  const s = status(pod(), observed([exited("main", 2, { restartCount: 3 })]), {
    waiting: crash,
    terminationMessages: new Map([["main-0", "boom"]]),
  });
  const shown = s.containerStatuses?.[0];
  assert.equal(shown?.state?.waiting?.reason, "CrashLoopBackOff");
  assert.deepEqual([shown?.lastState?.terminated?.exitCode, shown?.lastState?.terminated?.message], [2, "boom"]);
  assert.equal(shown?.restartCount, 3);
});

test("computePodStatus() reports a container that the runtime lost as ended in an unknown way", () => {
  const before = status(pod(), observed([ran("main")]));
  const after = status(pod(), observed([]), { previous: before });
  assert.equal(after.containerStatuses?.[0]?.lastState?.terminated?.reason, "ContainerStatusUnknown");
  assert.equal(after.containerStatuses?.[0]?.restartCount, 1);
});

test("computePodStatus() never lets a restart count fall, nor forgets the pod's start and addresses", () => {
  const states = fc.array(
    fc.constantFrom(
      observed([ran("main", { restartCount: 2 })]),
      observed([exited("main", 1, { restartCount: 1 })]),
      observed([]),
      observed([], [sandbox({ state: "notReady" })]),
      observed([ran("main", { restartCount: 0 })]),
    ),
    { minLength: 2, maxLength: 10 },
  );
  fc.assert(
    fc.property(states, (sequence) => {
      let previous: PodStatus = {};
      for (const state of sequence) {
        const next = status(pod(), state, { previous, now: NOW + 1000 });
        const count = (s: PodStatus) => s.containerStatuses?.[0]?.restartCount ?? 0;
        assert.ok(count(next) >= count(previous));
        if (previous.startTime !== undefined) assert.equal(next.startTime, previous.startTime);
        if (previous.podIP !== undefined) assert.equal(next.podIP, previous.podIP);
        previous = next;
      }
    }),
  );
});

test("computePodStatus() leaves a final phase alone whatever is seen later", () => {
  fc.assert(
    fc.property(fc.constantFrom("Succeeded", "Failed"), fc.boolean(), (phase, over) => {
      assert.equal(status(pod(), observed([ran("main")]), { previous: { phase }, podIsOver: over }).phase, phase);
    }),
  );
});

test("planStatusPatch() names only what changed, and never others' conditions", () => {
  const before = status(pod(), observed([]));
  const current = {
    ...before,
    conditions: [...(before.conditions ?? []), { type: "DisruptionTarget", status: "True" }],
  };
  assert.equal(planStatusPatch("u1", current, before), undefined);
  const patch = planStatusPatch("u1", current, status(pod(), observed([ran("main")]), { previous: before }));
  const body = patch as { metadata: object; status: Record<string, unknown> };
  assert.deepEqual(body.metadata, { uid: "u1" });
  assert.deepEqual(Object.keys(body.status).toSorted(), ["conditions", "containerStatuses", "phase"]);
  assert.ok(!JSON.stringify(body).includes("DisruptionTarget"));
});

test("planStatusPatch() replaces addresses instead of merging them, and removes what is gone", () => {
  const patch = planStatusPatch("u1", { podIPs: [{ ip: "10.0.0.2" }], reason: "x" }, { podIPs: [{ ip: "10.0.0.3" }] });
  assert.deepEqual(patch, {
    metadata: { uid: "u1" },
    status: { reason: null, podIPs: [{ $patch: "replace" }, { ip: "10.0.0.3" }] },
  });
});

test("computePodStatus() tells of no containers in a pod that was refused before any was made", () => {
  const verdict = { reason: "OutOfcpu", message: "Pod was rejected: no cpu" };
  const thePod = pod({ initContainers: [container("i")] });
  const refused = status(thePod, observed([], []), { verdict });
  const told = (s: PodStatus) => [s.phase, s.reason, s.initContainerStatuses, s.containerStatuses];
  assert.deepEqual(told(refused), ["Failed", "OutOfcpu", undefined, undefined]);
  assert.deepEqual(told(status(thePod, observed([], []), { previous: refused, podIsOver: true })), told(refused));
  const before = status(thePod, observed([], []));
  assert.equal(status(thePod, observed([], []), { previous: before, verdict }).containerStatuses?.length, 1);
});

test("computePodStatus() dates what never began to the runtime's 0", () => {
  const failed = exited("main", 128, { reason: "StartError", startedAt: 0 });
  const ended = status(pod({ restartPolicy: "Never" }), observed([failed])).containerStatuses?.[0]?.state?.terminated;
  assert.deepEqual([ended?.startedAt, ended?.exitCode, ended?.reason], ["1970-01-01T00:00:00Z", 128, "StartError"]);
});

test("planStatusPatch() names the keys of the pod's own resources that went, which merging would keep", () => {
  const before = {
    allocatedResources: { cpu: "1", memory: "64Mi" },
    resources: { limits: { cpu: "1" }, requests: { cpu: "1" } },
  };
  const after = { allocatedResources: { cpu: "1" }, resources: { requests: { memory: "1Gi" } } };
  const patch = planStatusPatch("u", before, after) as { status: Record<string, unknown> };
  assert.deepEqual(patch.status, {
    allocatedResources: { cpu: "1", memory: null },
    resources: { limits: null, requests: { cpu: null, memory: "1Gi" } },
  });
  assert.deepEqual(planStatusPatch("u", before, {}), {
    metadata: { uid: "u" },
    status: { allocatedResources: null, resources: null },
  });
});

test("computePodStatus() tells the verdict's reason when the pod's last container has stopped", () => {
  const verdict = { reason: "DeadlineExceeded", message: "m" };
  const stopping = status(pod(), observed([ran("main")]), { verdict });
  assert.deepEqual([stopping.phase, stopping.reason, stopping.message], ["Running", undefined, undefined]);
  const stopped = status(pod(), observed([exited("main", 137)]), { verdict, previous: stopping, podIsOver: true });
  assert.deepEqual([stopped.phase, stopped.reason, stopped.message], ["Failed", "DeadlineExceeded", "m"]);
});

test("computePodStatus() does not take a container for ready before its probes were set up, unless it was before", () => {
  const probe = { exec: { command: ["true"] } };
  const thePod = pod({ containers: [container("main", { readinessProbe: probe, startupProbe: probe })] });
  const fresh = status(thePod, observed([ran("main")]));
  assert.deepEqual([fresh.containerStatuses?.[0]?.started, fresh.containerStatuses?.[0]?.ready], [false, false]);
  const was = fresh.containerStatuses?.map((s) => ({ ...s, started: true, ready: true })) ?? [];
  const adopted = status(thePod, observed([ran("main")]), { previous: { containerStatuses: was } });
  assert.equal(conditionOf(adopted, "Ready")?.status, "True");
  const another = status(thePod, observed([ran("main", { id: "main-1" })]), { previous: { containerStatuses: was } });
  assert.equal(conditionOf(another, "Ready")?.status, "False");
});

const RULES = [{ action: "RestartAllContainers", exitCodes: { operator: "In", values: [88] } }];
const restarting = pod({
  initContainers: [container("init")],
  containers: [container("main"), container("trigger", { restartPolicyRules: RULES })],
});

test("computePodStatus() tells that all containers restart, and counts each of them once", () => {
  const steps = [exited("init", 0), ran("main"), exited("trigger", 88)];
  const during = status(restarting, observed(steps));
  const told = { type: "AllContainersRestarting", status: "True", reason: "RestartAllContainersStarted" };
  const { lastTransitionTime: _, ...condition } = conditionOf(during, "AllContainersRestarting") ?? {};
  assert.deepEqual(condition, {
    ...told,
    message: "container exited with restart policy rule",
    observedGeneration: 1,
  });
  assert.equal(during.phase, "Running");
  // Cut short: one is gone, the trigger is still there.
  const half = status(restarting, observed(steps.slice(1)), { previous: during });
  const gone = status(restarting, observed([]), { previous: half });
  const later = status(restarting, observed([]), { previous: gone });
  for (const s of [gone, later]) {
    assert.equal(conditionOf(s, "AllContainersRestarting")?.status, "False");
    for (const one of [...(s.initContainerStatuses ?? []), ...(s.containerStatuses ?? [])]) {
      const last = one.lastState?.terminated;
      assert.deepEqual([one.restartCount, last?.reason, last?.exitCode], [1, "RestartingAllContainers", 137], one.name);
    }
  }
  assert.equal(gone.containerStatuses?.[0]?.state?.waiting?.reason, "RestartingAllContainers");
  assert.equal(nextRestartCount(later, observed([]), "main"), 1);
});

test("computePodStatus() has no condition AllContainersRestarting without such a rule, and ends it with the pod", () => {
  assert.equal(conditionOf(status(pod(), observed([ran("main")])), "AllContainersRestarting"), undefined);
  const over = status(restarting, observed([]), { previous: { phase: "Failed" } });
  assert.equal(conditionOf(over, "AllContainersRestarting")?.reason, "PodFailed");
});

test("computePodStatus() counts a container that vanished once, and not at all in a pod that is deleted", () => {
  const ranBefore = status(pod(), observed([ran("main")]));
  const lost = status(pod(), observed([]), { previous: ranBefore });
  const { restartCount, lastState } = lost.containerStatuses?.[0] ?? {};
  assert.deepEqual([restartCount, lastState?.terminated?.reason], [1, "ContainerStatusUnknown"]);
  assert.equal(nextRestartCount(lost, observed([]), "main"), 1);
  const deleted = pod({}, { deletionTimestamp: "2026-01-01T00:00:00Z" });
  assert.equal(status(deleted, observed([]), { previous: ranBefore }).containerStatuses?.[0]?.restartCount, 0);
});

test("computePodStatus() takes an init container that nobody knows of any more for done", () => {
  const thePod = pod({ initContainers: [container("init"), container("side", { restartPolicy: "Always" })] });
  const s = status(thePod, observed([ran("main")]));
  const [init, side] = s.initContainerStatuses ?? [];
  assert.deepEqual([init?.state?.terminated?.reason, init?.ready], ["Completed", true]);
  assert.equal(side?.state?.waiting?.reason, "PodInitializing");
});

test("computePodStatus() never calls an ephemeral container ready", () => {
  const thePod = pod({ ephemeralContainers: [{ name: "debug", image: "img:1" }] });
  const s = status(thePod, observed([ran("main"), ran("debug")]));
  const debug = s.ephemeralContainerStatuses?.[0];
  assert.deepEqual([debug?.ready, debug?.state?.running !== undefined], [false, true]);
  assert.ok(debug !== undefined && !("started" in debug), "upstream does not say whether it has started");
});

const signals = [
  { told: "SIGUSR1", asked: "SIGUSR1", want: "SIGUSR1" },
  { told: "SIGTERM", asked: undefined, want: "SIGTERM" },
  { told: undefined, asked: "SIGUSR1", want: "SIGUSR1" },
  { told: undefined, asked: undefined, want: undefined },
];
for (const { told, asked, want } of signals) {
  test(`computePodStatus() shows the stop signal ${want} for ${asked} where the runtime tells ${told}`, () => {
    const thePod = pod({
      containers: [container("main", asked === undefined ? {} : { lifecycle: { stopSignal: asked } })],
    });
    const s = status(thePod, observed([ran("main", { stopSignal: told })]));
    assert.equal(s.containerStatuses?.[0]?.stopSignal, want);
  });
}

const readOnly = [
  { asked: undefined, supported: true, want: "Disabled" },
  { asked: "Enabled", supported: true, want: "Enabled" },
  { asked: "IfPossible", supported: true, want: "Enabled" },
  { asked: "IfPossible", supported: undefined, want: "Disabled" },
  { asked: "Enabled", supported: undefined, want: "Disabled" },
];
for (const { asked, supported, want } of readOnly) {
  test(`computePodStatus() says ${want} of a mount that asks for ${asked} where support is ${supported}`, () => {
    const mount = {
      name: "v",
      mountPath: "/v",
      readOnly: true,
      ...(asked === undefined ? {} : { recursiveReadOnly: asked }),
    };
    const thePod = pod({ containers: [container("main", { volumeMounts: [mount] })] });
    const s = status(thePod, observed([ran("main")]), { recursiveReadOnly: supported });
    const want1 = { name: "v", mountPath: "/v", readOnly: true, recursiveReadOnly: want };
    assert.deepEqual(s.containerStatuses?.[0]?.volumeMounts, [want1]);
  });
}

test("computePodStatus() keeps a reason for as long as the phase that it was told with", () => {
  const previous = { phase: "Running", reason: "NodeLost", message: "the node is lost" };
  assert.equal(status(pod(), observed([ran("main")]), { previous }).reason, "NodeLost");
  const ended = status(pod({ restartPolicy: "Never" }), observed([exited("main", 0)]), { previous });
  assert.deepEqual([ended.phase, ended.reason], ["Succeeded", undefined]);
});
