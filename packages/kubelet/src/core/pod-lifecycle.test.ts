import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { advanceLifecycle, type LifecycleEvent, type PodLifecycle, type TerminationCause } from "./pod-lifecycle.ts";

const terminate = (cause: TerminationCause, graceSeconds: number): LifecycleEvent => ({
  type: "terminate",
  cause,
  graceSeconds,
  now: 1000,
});
const stopped: LifecycleEvent = { type: "stopped" };
const cleaned: LifecycleEvent = { type: "cleaned" };
const play = (events: readonly LifecycleEvent[]) => events.reduce<PodLifecycle>(advanceLifecycle, { state: "syncing" });
const terminating = (cause: TerminationCause, graceSeconds: number) => ({
  state: "terminating",
  cause,
  graceSeconds,
  since: 1000,
});

const CASES: readonly [events: readonly LifecycleEvent[], want: object][] = [
  [[terminate("deleted", 30)], terminating("deleted", 30)],
  [[terminate("deleted", 0)], terminating("deleted", 1)],
  [[terminate("deleted", 30), terminate("deleted", 5)], terminating("deleted", 5)],
  [[terminate("deleted", 5), terminate("deleted", 30)], terminating("deleted", 5)],
  [[terminate("evicted", 5), terminate("deleted", 30)], terminating("deleted", 5)],
  [[terminate("finished", 30), stopped], { state: "terminated", cause: "finished" }],
  [[terminate("finished", 30), stopped, terminate("deleted", 30)], { state: "terminated", cause: "deleted" }],
  [[terminate("deleted", 30), stopped, cleaned], { state: "gone" }],
  [[terminate("deleted", 30), stopped, cleaned, terminate("deleted", 1)], { state: "gone" }],
];
for (const [events, want] of CASES) {
  const told = events.map((e) => (e.type === "terminate" ? `${e.cause} ${e.graceSeconds}` : e.type)).join(", ");
  test(`advanceLifecycle() leads to ${JSON.stringify(want)} by ${told}`, () => {
    assert.deepEqual(play(events), want);
  });
}

test("advanceLifecycle() refuses steps that cannot happen", () => {
  for (const events of [[stopped], [cleaned], [terminate("deleted", 1), cleaned]]) assert.throws(() => play(events));
});

test("advanceLifecycle() never goes back, and never gives a longer grace", () => {
  const order = ["syncing", "terminating", "terminated", "gone"];
  const terminations = fc.record({
    type: fc.constant("terminate" as const),
    cause: fc.constantFrom<TerminationCause>("deleted", "removed", "evicted", "finished"),
    graceSeconds: fc.nat({ max: 60 }),
    now: fc.nat(),
  });
  const histories = fc.array(fc.oneof(terminations, fc.constant(stopped), fc.constant(cleaned)), { maxLength: 12 });
  fc.assert(
    fc.property(histories, (history) => {
      let state: PodLifecycle = { state: "syncing" };
      for (const event of history) {
        // What cannot happen is refused, and changes nothing.
        if (event.type === "stopped" && state.state !== "terminating") continue;
        if (event.type === "cleaned" && state.state !== "terminated") continue;
        const next = advanceLifecycle(state, event);
        assert.ok(order.indexOf(next.state) >= order.indexOf(state.state), `${state.state} -> ${next.state}`);
        if (state.state === "terminating" && next.state === "terminating") {
          assert.ok(next.graceSeconds <= state.graceSeconds && next.graceSeconds >= 1);
          assert.equal(next.since, state.since);
        }
        state = next;
      }
    }),
  );
});
