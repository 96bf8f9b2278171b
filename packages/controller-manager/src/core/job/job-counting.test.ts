/**
 * The law of Jobs: whatever fails or is late, every pod that ended is counted once. A small world plays a server, two
 * caches that lag, kubelets that end pods, and a controller that may crash between any two of its writes.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Job, JobSpec } from "@knarr/api/generated/types/batch-v1.ts";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import fc from "fast-check";
import { canonicalJson } from "../canonical-json.ts";
import { isPodActive, isPodTerminal } from "../pod-state.ts";
import { isJobFinished } from "./job-conditions.ts";
import { job, NOW, pod } from "./job-fixture.ts";
import { formatIndexes, parseIndexes } from "./job-indexes.ts";
import { assessJob, settleCounts, trackPods } from "./job-plan.ts";
import { completionIndex, hasTrackingFinalizer } from "./job-pods.ts";

type Step =
  | { readonly kind: "end"; readonly which: number; readonly phase: "Succeeded" | "Failed" }
  | { readonly kind: "evict"; readonly which: number }
  | { readonly kind: "sync"; readonly failAt: number }
  | { readonly kind: "seePods" }
  | { readonly kind: "seeJob" }
  | { readonly kind: "restart" }
  | { readonly kind: "collect" };

class Crash extends Error {}

class World {
  job: Job;
  version = 1;
  pods = new Map<string, Pod>();
  /** How each pod really ended; pods that were removed as surplus are not in it. */
  readonly ends = new Map<string, "Succeeded" | "Failed">();
  cachedJob: Job;
  cachedVersion = 1;
  cachedPods: readonly Pod[] = [];
  released = new Set<string>();
  #created = 0;
  #nowMs = NOW;
  #budget = Number.POSITIVE_INFINITY;

  constructor(spec: Partial<JobSpec>) {
    this.job = job(spec);
    this.cachedJob = this.job;
  }

  apply(step: Step): void {
    const alive = [...this.pods.values()].filter((p) => !isPodTerminal(p));
    const target = step.kind === "end" || step.kind === "evict" ? alive[step.which % (alive.length || 1)] : undefined;
    switch (step.kind) {
      case "end":
        if (target !== undefined) this.#end(target, step.phase);
        break;
      case "evict":
        if (target !== undefined) this.#put({ ...target, metadata: { ...target.metadata, deletionTimestamp: "now" } });
        break;
      case "sync":
        this.sync(step.failAt);
        break;
      case "seePods":
        this.seePods();
        break;
      case "seeJob":
        this.seeJob();
        break;
      case "restart":
        this.released = new Set();
        this.seePods();
        this.seeJob();
        break;
      case "collect":
        for (const p of this.pods.values()) {
          const going = p.metadata.deletionTimestamp !== undefined && isPodTerminal(p);
          if (going && !hasTrackingFinalizer(p)) this.pods.delete(p.metadata.uid ?? "");
        }
        break;
      default:
        step satisfies never;
    }
  }

  seePods(): void {
    this.cachedPods = [...this.pods.values()];
    for (const uid of this.released) {
      const seen = this.pods.get(uid);
      if (seen === undefined || !hasTrackingFinalizer(seen)) this.released.delete(uid);
    }
  }

  seeJob(): void {
    this.cachedJob = this.job;
    this.cachedVersion = this.version;
  }

  sync(failAt: number): void {
    if (isJobFinished(this.cachedJob)) return;
    this.#budget = failAt;
    try {
      this.#sync();
    } catch (error) {
      if (!(error instanceof Crash)) throw error;
    }
  }

  #sync(): void {
    this.#nowMs += 3_600_000;
    const seen = new Set(this.cachedPods.map(({ metadata }) => metadata.uid));
    const settled = [...this.pods.keys()].every((uid) => seen.has(uid)) && this.#deletionsSeen();
    const assessment = assessJob({
      job: this.cachedJob,
      pods: this.cachedPods,
      settled,
      released: new Set(this.released),
      backoff: { failuresSinceSuccess: 0, lastFailureMs: 0 },
      nowMs: this.#nowMs,
    });
    const outcome = this.#carryOut(assessment.step);
    const tracking = trackPods(assessment, outcome);
    this.#writeStatus(tracking.status);
    const uids: string[] = [];
    for (const p of tracking.releases) {
      this.#request();
      const uid = p.metadata.uid ?? "";
      this.released.add(uid);
      this.#unfinalize(uid);
      uids.push(uid);
    }
    this.#writeStatus(settleCounts(tracking, uids).status);
  }

  #deletionsSeen(): boolean {
    return this.cachedPods.every((cached) => {
      const now = this.pods.get(cached.metadata.uid ?? "");
      return (now?.metadata.deletionTimestamp === undefined) === (cached.metadata.deletionTimestamp === undefined);
    });
  }

  #carryOut(step: ReturnType<typeof assessJob>["step"]): { created: number; deleted: Pod[] } {
    const outcome = { created: 0, deleted: [] as Pod[] };
    if (step.kind === "create") {
      for (const index of step.indexes) {
        this.#request();
        this.#put(pod(`p${this.#created++}`, index === undefined ? {} : { index }));
        outcome.created++;
      }
    } else if (step.kind === "end" || step.kind === "remove") {
      for (const p of step.pods) {
        this.#request();
        const uid = p.metadata.uid ?? "";
        const now = this.pods.get(uid);
        if (now !== undefined && !isPodTerminal(now)) this.#end(now, "Failed", true);
        outcome.deleted.push(p);
      }
    }
    return outcome;
  }

  #end(target: Pod, phase: "Succeeded" | "Failed", deleting = false): void {
    this.ends.set(target.metadata.uid ?? "", phase);
    const { deletionTimestamp } = target.metadata;
    const metadata = { ...target.metadata, deletionTimestamp: deleting ? "now" : deletionTimestamp };
    this.#put({ ...target, metadata, status: { ...target.status, phase } });
  }

  #unfinalize(uid: string): void {
    const p = this.pods.get(uid);
    if (p !== undefined) this.#put({ ...p, metadata: { ...p.metadata, finalizers: [] } });
  }

  #writeStatus(status: Job["status"]): void {
    if (canonicalJson(status) === canonicalJson(this.cachedJob.status)) return;
    this.#request();
    if (this.cachedVersion !== this.version) throw new Crash("conflict");
    this.job = { ...this.job, ...(status === undefined ? {} : { status }) };
    this.version++;
    // The answer of the write is what the next write of this reconcile is based on; the cache sees it later.
    this.cachedVersion = this.version;
    this.cachedJob = this.job;
  }

  #put(p: Pod): void {
    this.pods.set(p.metadata.uid ?? "", p);
  }

  #request(): void {
    if (this.#budget-- <= 0) throw new Crash("crash");
  }
}

const steps: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    kind: fc.constant("end" as const),
    which: fc.nat(9),
    phase: fc.constantFrom("Succeeded" as const, "Failed" as const),
  }),
  fc.record({ kind: fc.constant("sync" as const), failAt: fc.oneof(fc.nat(6), fc.constant(99)) }),
  fc.record({ kind: fc.constant("evict" as const), which: fc.nat(9) }),
  fc.constantFrom<Step>({ kind: "seePods" }, { kind: "seeJob" }, { kind: "restart" }, { kind: "collect" }),
);

test("a Job counts every pod that ended exactly once, whatever crashes in between (property)", () => {
  const specs = fc.record({
    parallelism: fc.integer({ min: 1, max: 4 }),
    completions: fc.integer({ min: 1, max: 6 }),
    backoffLimit: fc.constantFrom(1, 3, 1000),
    podReplacementPolicy: fc.constant("Failed"),
  });
  fc.assert(
    fc.property(specs, fc.array(steps, { maxLength: 60 }), (spec, all) => {
      const world = new World(spec);
      for (const step of all) {
        world.apply(step);
        const active = [...world.pods.values()].filter(isPodActive).length;
        assert.ok(active <= spec.parallelism, `${active} active`);
        const { succeeded = 0, failed = 0 } = world.job.status ?? {};
        const ends = [...world.ends.values()];
        assert.ok(succeeded <= ends.filter((end) => end === "Succeeded").length, "counted too many successes");
        assert.ok(succeeded + failed <= ends.length, "counted too many pods");
      }
      for (let i = 0; i < 40 && !isJobFinished(world.job); i++) {
        world.apply({ kind: "restart" });
        world.apply({ kind: "end", which: 0, phase: "Succeeded" });
        world.sync(Number.POSITIVE_INFINITY);
      }
      assert.ok(isJobFinished(world.job), JSON.stringify(world.job.status));
      const { succeeded = 0, failed = 0, uncountedTerminatedPods } = world.job.status ?? {};
      const ends = [...world.ends.values()];
      assert.deepEqual(uncountedTerminatedPods, {});
      assert.equal(succeeded + failed, ends.length);
      // When a Job fails, what was not known to have ended counts as failed.
      const complete = world.job.status?.conditions?.some(({ type }) => type === "Complete") === true;
      if (complete) assert.equal(succeeded, ends.filter((end) => end === "Succeeded").length);
      assert.ok(![...world.pods.values()].some(hasTrackingFinalizer), "a finalizer is left");
    }),
    { numRuns: 400 },
  );
});

test("an indexed Job never runs one index twice, and completes each once (property)", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 4 }), fc.array(steps, { maxLength: 60 }), (parallelism, all) => {
      const spec: Partial<JobSpec> = { parallelism, completions: 5, completionMode: "Indexed", backoffLimit: 1000 };
      const world = new World({ ...spec, podReplacementPolicy: "Failed" });
      for (const step of all) {
        world.apply(step);
        const indexes = [...world.pods.values()].filter((p) => !isPodTerminal(p)).map((p) => completionIndex(p));
        assert.equal(new Set(indexes).size, indexes.length, indexes.join());
      }
      for (let i = 0; i < 40 && !isJobFinished(world.job); i++) {
        world.apply({ kind: "restart" });
        world.apply({ kind: "end", which: 0, phase: "Succeeded" });
        world.sync(Number.POSITIVE_INFINITY);
      }
      assert.equal(world.job.status?.completedIndexes, "0-4");
      assert.equal(world.job.status?.succeeded, 5);
    }),
    { numRuns: 300 },
  );
});

test("formatIndexes() and parseIndexes() are each other's inverse (property)", () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.nat(40)), (indexes) => {
      const text = formatIndexes(new Set(indexes));
      assert.deepEqual(
        [...parseIndexes(text, 41)],
        indexes.toSorted((a, b) => a - b),
      );
      assert.match(text, /^(\d+(-\d+)?(,\d+(-\d+)?)*)?$/);
    }),
  );
});
