import assert from "node:assert/strict";
import test from "node:test";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import fc from "fast-check";
import type { ObservedContainer, ObservedPod } from "./observed-pod.ts";
import { computePodActions, type PodPlan, type ProbeView } from "./pod-actions.ts";
import { container, exited, observed, pod, ran, sandbox } from "./testing.ts";

interface Row {
  readonly name: string;
  readonly pod: Pod;
  readonly observed: ObservedPod;
  readonly probes?: ProbeView;
  /** "kill pod", "sandbox 1", "kill main livenessProbe", "start init a" ... */
  readonly want: readonly string[];
}

function describe(plan: PodPlan): string[] {
  return [
    ...(plan.killPod ? ["kill pod"] : []),
    ...(plan.createSandbox ? [`sandbox ${plan.attempt}`] : []),
    ...plan.kill.map((k) => `kill ${k.name} ${k.reason}`),
    ...plan.start.map((s) => `start ${s.kind} ${s.name}`),
  ];
}

const failing = (kind: "liveness" | "startup", id: string): ProbeView => ({
  liveness: (asked) => (kind === "liveness" && asked === id ? "failure" : undefined),
  startup: (asked) => (kind === "startup" && asked === id ? "failure" : undefined),
});
const inits = { initContainers: [container("a"), container("b")] };
const sidecar = (more = {}) => container("side", { restartPolicy: "Always", ...more });
const stopped = sandbox({ state: "notReady" });

const rows: Row[] = [
  {
    name: "nothing exists",
    pod: pod(),
    observed: observed([], []),
    want: ["kill pod", "sandbox 0", "start container main"],
  },
  { name: "the sandbox is there and empty", pod: pod(), observed: observed([]), want: ["start container main"] },
  { name: "everything runs", pod: pod(), observed: observed([ran("main")]), want: [] },
  {
    name: "a container ended and always restarts",
    pod: pod(),
    observed: observed([exited("main", 0)]),
    want: ["start container main"],
  },
  {
    name: "a container failed and restarts on failure",
    pod: pod({ restartPolicy: "OnFailure" }),
    observed: observed([exited("main", 1)]),
    want: ["start container main"],
  },
  {
    name: "a container ended well and restarts on failure only",
    pod: pod({ restartPolicy: "OnFailure" }),
    observed: observed([exited("main", 0)]),
    want: ["kill pod"],
  },
  {
    name: "a container failed and never restarts",
    pod: pod({ restartPolicy: "Never" }),
    observed: observed([exited("main", 1)]),
    want: ["kill pod"],
  },
  {
    name: "a container's own policy overrides the pod's",
    pod: pod({ restartPolicy: "Never", containers: [container("main", { restartPolicy: "Always" })] }),
    observed: observed([exited("main", 1)]),
    want: ["start container main"],
  },
  {
    name: "a restart rule names the exit code",
    pod: pod({
      restartPolicy: "Never",
      containers: [
        container("main", {
          restartPolicy: "Never",
          restartPolicyRules: [{ action: "Restart", exitCodes: { operator: "In", values: [42] } }],
        }),
      ],
    }),
    observed: observed([exited("main", 42)]),
    want: ["start container main"],
  },
  {
    name: "the sandbox died",
    pod: pod(),
    observed: observed([exited("main", 137)], [stopped]),
    want: ["kill pod", "sandbox 1", "start container main"],
  },
  {
    name: "the sandbox died under a pod that never restarts",
    pod: pod({ restartPolicy: "Never" }),
    observed: observed([exited("main", 137)], [stopped]),
    want: ["kill pod"],
  },
  {
    name: "the sandbox died before anything ran in a pod that never restarts",
    pod: pod({ restartPolicy: "Never" }),
    observed: observed([], [stopped]),
    want: ["kill pod", "sandbox 1", "start container main"],
  },
  {
    name: "the sandbox has no address",
    pod: pod(),
    observed: observed([ran("main")], [sandbox({ ips: [] })]),
    want: ["kill pod", "sandbox 1", "start container main"],
  },
  {
    name: "a pod on the host's network has no address of its own",
    pod: pod({ hostNetwork: true }),
    observed: observed([ran("main")], [sandbox({ ips: [], networkMode: "NODE" })]),
    want: [],
  },
  {
    name: "two sandboxes are ready",
    pod: pod(),
    observed: observed([], [sandbox({ id: "s1", metadata: { ...sandbox().metadata, attempt: 1 } }), sandbox()]),
    want: ["kill pod", "sandbox 2", "start container main"],
  },
  {
    name: "the image changed",
    pod: pod(),
    observed: observed([ran("main", { hash: "other" })]),
    want: ["kill main specChanged", "start container main"],
  },
  {
    name: "the state is unknown",
    pod: pod(),
    observed: observed([ran("main", { state: "unknown" })]),
    want: ["kill main unknownState", "start container main"],
  },
  {
    name: "liveness failed",
    pod: pod(),
    observed: observed([ran("main")]),
    probes: failing("liveness", "main-0"),
    want: ["kill main livenessProbe", "start container main"],
  },
  {
    name: "liveness failed in a pod that never restarts",
    pod: pod({ restartPolicy: "Never", containers: [container("main"), container("other")] }),
    observed: observed([ran("main"), ran("other")]),
    probes: failing("liveness", "main-0"),
    want: ["kill main livenessProbe"],
  },
  {
    name: "startup failed",
    pod: pod(),
    observed: observed([ran("main")]),
    probes: failing("startup", "main-0"),
    want: ["kill main startupProbe", "start container main"],
  },
  { name: "there are init containers", pod: pod(inits), observed: observed([]), want: ["start init a"] },
  { name: "the first init container runs", pod: pod(inits), observed: observed([ran("a")]), want: [] },
  {
    name: "the first init container ended well",
    pod: pod(inits),
    observed: observed([exited("a", 0)]),
    want: ["start init b"],
  },
  { name: "an init container failed", pod: pod(inits), observed: observed([exited("a", 1)]), want: ["start init a"] },
  {
    name: "an init container failed for good",
    pod: pod({ ...inits, restartPolicy: "Never" }),
    observed: observed([exited("a", 1)]),
    want: ["kill pod"],
  },
  {
    name: "all init containers ended well",
    pod: pod(inits),
    observed: observed([exited("b", 0), exited("a", 0)]),
    want: ["start container main"],
  },
  {
    name: "an init container was collected while the one after it runs",
    pod: pod(inits),
    observed: observed([ran("b")]),
    want: [],
  },
  {
    name: "an init container was collected after the one after it failed",
    pod: pod(inits),
    observed: observed([exited("b", 1)]),
    want: ["start init b"],
  },
  {
    name: "init containers were collected once the pod runs",
    pod: pod(inits),
    observed: observed([ran("main")]),
    want: [],
  },
  {
    name: "a sidecar runs without startup probe",
    pod: pod({ initContainers: [sidecar(), container("b")] }),
    observed: observed([ran("side")]),
    want: ["start init b"],
  },
  {
    name: "a sidecar has not started yet",
    pod: pod({ initContainers: [sidecar({ startupProbe: { exec: {} } }), container("b")] }),
    observed: observed([ran("side")]),
    probes: { liveness: () => undefined, startup: () => "unknown" },
    want: [],
  },
  {
    name: "a sidecar ended while the pod runs",
    pod: pod({ initContainers: [sidecar()] }),
    observed: observed([ran("main"), exited("side", 0)]),
    want: ["start init side"],
  },
  {
    name: "only sidecars are left",
    pod: pod({ restartPolicy: "Never", initContainers: [sidecar()] }),
    observed: observed([exited("main", 0), ran("side")]),
    want: ["kill pod"],
  },
  {
    name: "an ephemeral container was added",
    pod: pod({ ephemeralContainers: [{ name: "dbg", image: "x" }] }),
    observed: observed([ran("main")]),
    want: ["start ephemeral dbg"],
  },
  {
    name: "an ephemeral container ended",
    pod: pod({ ephemeralContainers: [{ name: "dbg", image: "x" }] }),
    observed: observed([ran("main"), exited("dbg", 1)]),
    want: [],
  },
];

for (const row of rows) {
  test(`computePodActions() gives [${row.want.join(", ")}] when ${row.name}`, () => {
    assert.deepEqual(describe(computePodActions(row.pod, row.observed, row.probes)), row.want);
  });
}

const changed = { hash: "other" };
const unknown = { state: "unknown" as const };
const withSidecar = pod({ initContainers: [sidecar()] });
const messages: { pod: Pod; of: ObservedContainer; probes?: ProbeView; want: string }[] = [
  {
    pod: pod(),
    of: ran("main"),
    probes: failing("liveness", "main-0"),
    want: "Container main failed liveness probe, will be restarted",
  },
  {
    pod: pod({ restartPolicy: "Never", containers: [container("main"), container("other")] }),
    of: ran("main"),
    probes: failing("startup", "main-0"),
    want: "Container main failed startup probe",
  },
  { pod: pod(), of: ran("main", changed), want: "Container main definition changed, will be restarted" },
  { pod: pod(), of: ran("main", unknown), want: 'Container is in "unknown" state, try killing it before restart' },
  {
    pod: withSidecar,
    of: ran("side"),
    probes: failing("liveness", "side-0"),
    want: "Init container side failed liveness probe",
  },
  { pod: withSidecar, of: ran("side", changed), want: "Init container side definition changed" },
  {
    pod: pod(inits),
    of: ran("a", unknown),
    want: 'Init container is in "unknown" state, try killing it before restart',
  },
];
for (const { pod: thePod, of, probes, want } of messages) {
  test(`computePodActions() tells why it kills: ${want}`, () => {
    const { kill } = computePodActions(thePod, observed([of, ran("other")]), probes);
    assert.deepEqual(
      kill.map((k) => k.message),
      [want],
    );
  });
}

/** A runtime in miniature: applies plans, and lets containers end as the random choices say. */
function simulate(thePod: Pod, choices: readonly number[], check: (plan: PodPlan, state: ObservedPod) => void): void {
  let containers: ObservedContainer[] = [];
  let sandboxes = [] as ReturnType<typeof sandbox>[];
  let clock = 10_000;
  for (const choice of choices) {
    const state = observed(containers, sandboxes);
    const plan = computePodActions(thePod, state);
    check(plan, state);
    clock += 1000;
    if (plan.killPod) {
      containers = containers.map((c) =>
        c.state === "running" ? { ...c, state: "exited", exitCode: 137, finishedAt: clock } : c,
      );
      sandboxes = sandboxes.map((s) => ({ ...s, state: "notReady" }));
    }
    if (plan.createSandbox) {
      const metadata = { ...sandbox().metadata, attempt: plan.attempt };
      sandboxes = [sandbox({ id: `s${plan.attempt}`, metadata, createdAt: clock }), ...sandboxes];
    }
    const sandboxId = sandboxes[0]?.id ?? "";
    for (const { name } of plan.start) {
      const count = containers.filter((c) => c.name === name).length;
      containers = [
        ran(name, { id: `${name}-${count}`, sandboxId, restartCount: count, createdAt: clock }),
        ...containers,
      ];
    }
    const running = containers.filter((c) => c.state === "running");
    const victim = running[choice % Math.max(1, running.length)];
    if (choice % 7 === 6) sandboxes = sandboxes.map((s) => ({ ...s, state: "notReady" }));
    else if (victim !== undefined && choice % 3 !== 0) {
      containers = containers.map((c) =>
        c === victim ? { ...c, state: "exited", exitCode: choice % 2, finishedAt: clock } : c,
      );
    }
  }
}

const policies = fc.constantFrom("Always", "OnFailure", "Never");
const pods = fc
  .record({
    restartPolicy: policies,
    inits: fc.array(fc.boolean(), { maxLength: 3 }),
    mains: fc.integer({ min: 1, max: 3 }),
  })
  .map(({ restartPolicy, inits: sidecars, mains }) =>
    pod({
      restartPolicy,
      initContainers: sidecars.map((isSidecar, i) => container(`i${i}`, isSidecar ? { restartPolicy: "Always" } : {})),
      containers: Array.from({ length: mains }, (_, i) => container(`c${i}`)),
    }),
  );
const histories = fc.array(fc.nat({ max: 1000 }), { minLength: 1, maxLength: 40 });

test("computePodActions() never starts a container that runs", () => {
  fc.assert(
    fc.property(pods, histories, (thePod, choices) => {
      simulate(thePod, choices, (plan, state) => {
        if (plan.killPod) return;
        const killed = new Set(plan.kill.map((k) => k.name));
        for (const { name } of plan.start) {
          const runs = state.containers.some((c) => c.name === name && c.state === "running");
          assert.ok(!runs || killed.has(name), `${name} runs`);
        }
      });
    }),
  );
});

test("computePodActions() never starts an init container in a sandbox where a container of the pod ran", () => {
  fc.assert(
    fc.property(pods, histories, (thePod, choices) => {
      const once = new Set(
        (thePod.spec?.initContainers ?? []).filter((c) => c.restartPolicy !== "Always").map((c) => c.name),
      );
      simulate(thePod, choices, (plan, state) => {
        if (plan.createSandbox || plan.sandboxId === undefined) return;
        const began = state.containers.some((c) => c.sandboxId === plan.sandboxId && c.name.startsWith("c"));
        if (began) for (const { name } of plan.start) assert.ok(!once.has(name), name);
      });
    }),
  );
});

test("computePodActions() starts no container before every init container before it ended well or stays", () => {
  fc.assert(
    fc.property(pods, histories, (thePod, choices) => {
      simulate(thePod, choices, (plan, state) => {
        const first = plan.start.find((s) => s.kind === "container");
        if (first === undefined || plan.createSandbox) return;
        for (const init of thePod.spec?.initContainers ?? []) {
          if (init.restartPolicy === "Always") continue;
          const here = state.containers.filter((c) => c.sandboxId === plan.sandboxId);
          const began = here.some((c) => c.name.startsWith("c"));
          assert.ok(
            began || here.some((c) => c.name === init.name && c.state === "exited" && c.exitCode === 0),
            init.name,
          );
        }
      });
    }),
  );
});

test("computePodActions() gives the same plan for the same state", () => {
  fc.assert(
    fc.property(pods, histories, (thePod, choices) => {
      simulate(thePod, choices, (plan, state) => assert.deepEqual(computePodActions(thePod, state), plan));
    }),
  );
});
