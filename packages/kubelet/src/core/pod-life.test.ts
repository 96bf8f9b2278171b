/**
 * Whole lives of pods, played: a model of the runtime, the worker's steps as pod-worker.ts takes them, and a history of
 * exits, dead sandboxes, collected containers, resizes and deletions. The laws hold after every step of every history.
 */
import assert from "node:assert/strict";
import test from "node:test";
import type { Container, Pod, PodStatus } from "@knarr/api/generated/types/core-v1.ts";
import fc from "fast-check";
import type { ObservedContainer, ObservedPod } from "./observed-pod.ts";
import { computePodActions, type PodPlan } from "./pod-actions.ts";
import { advanceLifecycle, type PodLifecycle } from "./pod-lifecycle.ts";
import { isFinalPhase } from "./pod-phase.ts";
import { computePodStatus } from "./pod-status.ts";
import { nextRestartCount } from "./restart-count.ts";
import { container, observed, pod, ran, sandbox } from "./testing.ts";

type Sandbox = ReturnType<typeof sandbox>;
type Fault =
  | { readonly kind: "exit"; readonly which: number; readonly code: number }
  | { readonly kind: "sandboxDies" }
  | { readonly kind: "collect"; readonly which: number }
  | { readonly kind: "unknown"; readonly which: number }
  | { readonly kind: "delete" }
  | { readonly kind: "nothing" };

class Life {
  readonly pod: Pod;
  containers: ObservedContainer[] = [];
  sandboxes: Sandbox[] = [];
  status: PodStatus = {};
  lifecycle: PodLifecycle = { state: "syncing" };
  plan: PodPlan | undefined;
  #clock = 10_000;
  #made = 0;

  constructor(thePod: Pod) {
    this.pod = thePod;
  }

  get seen(): ObservedPod {
    return observed(this.containers, this.sandboxes);
  }

  suffer(fault: Fault): void {
    this.#clock += 1000;
    const running = this.containers.filter((c) => c.state === "running");
    switch (fault.kind) {
      case "exit":
        return this.#end(running[fault.which % Math.max(1, running.length)], fault.code);
      case "sandboxDies":
        this.sandboxes = this.sandboxes.map((s) => ({ ...s, state: "notReady" }));
        for (const c of running) this.#end(c, 137);
        return;
      case "collect": {
        const dead = this.containers.filter((c) => c.state === "exited");
        const victim = dead[fault.which % Math.max(1, dead.length)];
        this.containers = this.containers.filter((c) => c !== victim);
        return;
      }
      case "unknown":
        this.#change(running[fault.which % Math.max(1, running.length)], { state: "unknown" });
        return;
      case "delete":
        return this.#terminate("deleted");
      case "nothing":
        return;
      default:
        return fault satisfies never;
    }
  }

  /** One step of the worker. */
  step(): void {
    this.#clock += 1000;
    this.plan = undefined;
    const { state } = this.lifecycle;
    if (state === "syncing") return this.#sync();
    if (state === "terminating") {
      this.#report(false);
      for (const c of this.containers) if (c.state !== "exited") this.#end(c, 137);
      this.sandboxes = this.sandboxes.map((s) => ({ ...s, state: "notReady" }));
      this.lifecycle = advanceLifecycle(this.lifecycle, { type: "stopped" });
      return this.#report(true);
    }
    if (this.lifecycle.state !== "terminated") return;
    this.#report(true);
    if (this.lifecycle.cause === "finished") return;
    this.lifecycle = advanceLifecycle(this.lifecycle, { type: "cleaned" });
  }

  #sync(): void {
    this.#report(false);
    const plan = computePodActions(this.pod, this.seen);
    this.plan = plan;
    if (isFinalPhase(this.status.phase) || (plan.killPod && !plan.createSandbox && this.containers.length > 0)) {
      return this.#terminate("finished");
    }
    if (plan.killPod) for (const c of this.containers) if (c.state === "running") this.#end(c, 137);
    if (plan.createSandbox) {
      const metadata = { ...sandbox().metadata, attempt: plan.attempt };
      this.sandboxes = [
        sandbox({ id: `s${plan.attempt}`, metadata, createdAt: this.#clock }),
        ...this.sandboxes.map((s) => ({ ...s, state: "notReady" as const })),
      ];
    }
    for (const kill of plan.kill)
      this.#end(
        this.containers.find((c) => c.id === kill.id),
        137,
      );
    const reset = plan.reset?.ids ?? [];
    this.containers = this.containers.filter((c) => !reset.includes(c.id));
    for (const { name } of plan.start) this.#start(name);
  }

  #start(name: string): void {
    const twin = this.containers.find((c) => c.name === name && c.state !== "exited");
    assert.equal(twin, undefined, `${name} is started while another one runs`);
    const restartCount = nextRestartCount(this.status, this.seen, name);
    const more = { id: `${name}-${this.#made++}`, sandboxId: this.sandboxes[0]?.id ?? "", restartCount };
    this.containers = [ran(name, { ...more, createdAt: this.#clock, startedAt: this.#clock }), ...this.containers];
  }

  #terminate(cause: "deleted" | "finished"): void {
    this.lifecycle = advanceLifecycle(this.lifecycle, { type: "terminate", cause, graceSeconds: 30, now: this.#clock });
  }

  #report(podIsOver: boolean): void {
    this.status = computePodStatus({
      pod: this.pod,
      observed: this.seen,
      previous: this.status,
      runtimeName: "containerd",
      waiting: new Map(),
      ready: () => undefined,
      started: () => undefined,
      terminationMessages: new Map(),
      podIsOver,
      now: this.#clock,
      hostIps: ["192.0.2.1"],
    });
  }

  #end(target: ObservedContainer | undefined, exitCode: number): void {
    this.#change(target, { state: "exited", exitCode, finishedAt: this.#clock });
  }

  #change(target: ObservedContainer | undefined, change: Partial<ObservedContainer>): void {
    this.containers = this.containers.map((c) => (c === target ? { ...c, ...change } : c));
  }
}

const policies = fc.constantFrom("Always", "OnFailure", "Never");
const rule = fc.record({
  action: fc.constantFrom("Restart", "RestartAllContainers"),
  exitCodes: fc.record({ operator: fc.constantFrom("In", "NotIn"), values: fc.subarray([0, 1, 42]) }),
});
const ruled = fc.option(fc.record({ restartPolicy: policies, restartPolicyRules: fc.array(rule, { maxLength: 2 }) }), {
  nil: {},
});
const pods = fc
  .record({
    restartPolicy: policies,
    inits: fc.array(fc.oneof(fc.constant<Partial<Container>>({ restartPolicy: "Always" }), ruled), { maxLength: 3 }),
    mains: fc.array(ruled, { minLength: 1, maxLength: 3 }),
  })
  .map(({ restartPolicy, inits, mains }) =>
    pod({
      restartPolicy,
      initContainers: inits.map((more, i) => container(`i${i}`, more as Partial<Container>)),
      containers: mains.map((more, i) => container(`c${i}`, more as Partial<Container>)),
    }),
  );
const which = fc.nat({ max: 5 });
const exits = fc.record({ kind: fc.constant("exit" as const), which, code: fc.constantFrom(0, 1, 42, 137) });
const faults: fc.Arbitrary<Fault> = fc.oneof(
  { weight: 6, arbitrary: exits },
  { weight: 4, arbitrary: fc.constant({ kind: "nothing" } as const) },
  { weight: 1, arbitrary: fc.constant({ kind: "sandboxDies" } as const) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("collect" as const), which }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("unknown" as const), which }) },
);
const histories = fc.array(faults, { minLength: 1, maxLength: 60, size: "max" });

const allStatuses = (s: PodStatus) => [...(s.initContainerStatuses ?? []), ...(s.containerStatuses ?? [])];

function live(thePod: Pod, history: readonly Fault[], check: (life: Life, before: PodStatus) => void): Life {
  const life = new Life(thePod);
  life.step();
  for (const fault of history) {
    life.suffer(fault);
    const before = life.status;
    life.step();
    check(life, before);
  }
  return life;
}

const law = (name: string, check: (life: Life, before: PodStatus) => void) =>
  test(`a pod's life: ${name}`, () => {
    fc.assert(
      fc.property(pods, histories, (thePod, history) => void live(thePod, history, check)),
      { numRuns: 300 },
    );
  });

law("never two containers of one name run", (life) => {
  const names = life.containers.filter((c) => c.state === "running").map((c) => c.name);
  assert.deepEqual(names, [...new Set(names)]);
});

law("restart counts never fall", (life, before) => {
  for (const old of allStatuses(before)) {
    const now = allStatuses(life.status).find((s) => s.name === old.name);
    assert.ok((now?.restartCount ?? 0) >= old.restartCount, `${old.name}: ${old.restartCount} -> ${now?.restartCount}`);
  }
});

law("a final phase is final, and nothing is started after it", (life, before) => {
  if (!isFinalPhase(before.phase)) return;
  assert.equal(life.status.phase, before.phase);
  assert.deepEqual(life.plan?.start ?? [], []);
});

law("an init container is not started where a container of the pod was", (life) => {
  const { plan } = life;
  if (plan === undefined || plan.createSandbox || plan.reset !== undefined) return;
  const sidecars = new Set(
    life.pod.spec?.initContainers?.filter((c) => c.restartPolicy === "Always").map((c) => c.name),
  );
  const started = plan.start.filter((s) => s.kind === "init" && !sidecars.has(s.name)).map((s) => s.name);
  if (started.length === 0) return;
  const beside = life.containers.filter((c) => c.sandboxId === plan.sandboxId && c.name.startsWith("c"));
  assert.deepEqual(beside, [], `${started.join()} beside ${beside.map((c) => c.name).join()}`);
});

law("an init container is not started where a later one was", (life) => {
  const { plan } = life;
  if (plan === undefined || plan.createSandbox || plan.reset !== undefined) return;
  const inits = life.pod.spec?.initContainers ?? [];
  for (const { name } of plan.start.filter((s) => s.kind === "init")) {
    const index = inits.findIndex((c) => c.name === name);
    if (inits[index]?.restartPolicy === "Always") continue;
    const later = inits.slice(index + 1).map((c) => c.name);
    const isBeside = life.containers.some((c) => c.sandboxId === plan.sandboxId && later.includes(c.name));
    assert.ok(!isBeside, name);
  }
});

law("the last state that was reported is kept until a newer one is", (life, before) => {
  for (const old of allStatuses(before)) {
    if (old.lastState?.terminated === undefined) continue;
    const now = allStatuses(life.status).find((s) => s.name === old.name);
    assert.ok(now?.lastState?.terminated !== undefined, old.name);
  }
});

test("a pod's life: a pod that is being deleted ends in three steps, whatever happens meanwhile", () => {
  fc.assert(
    fc.property(pods, histories, fc.array(faults, { minLength: 3, maxLength: 3 }), (thePod, history, after) => {
      const life = live(thePod, history, () => undefined);
      life.suffer({ kind: "delete" });
      for (const fault of after) {
        life.suffer(fault);
        life.step();
        assert.deepEqual(life.plan?.start ?? [], []);
      }
      assert.equal(life.lifecycle.state, "gone");
      assert.ok(life.containers.every((c) => c.state === "exited"));
      assert.ok(isFinalPhase(life.status.phase), life.status.phase ?? "no phase");
    }),
    { numRuns: 300 },
  );
});
