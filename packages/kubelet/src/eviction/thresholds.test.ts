import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { NO_PRESSURE, nextPressure, type Pressure } from "./pressure.ts";
import type { Observations } from "./signals.ts";
import { DEFAULT_HARD, mostUrgent, parseThresholds, thresholdsMet, withContainerFs } from "./thresholds.ts";

const NONE = { hard: {}, soft: {}, softGracePeriod: {}, minimumReclaim: {} };
const MEBI = 2 ** 20;
const memory = (available: number, at = 1): Observations => ({
  "memory.available": { available: available * MEBI, capacity: 1000 * MEBI, at },
});

test("parseThresholds() watches the pods' common group by the memory threshold when it is enforced", () => {
  const signals = (enforces: boolean) =>
    parseThresholds({ ...NONE, hard: DEFAULT_HARD }, enforces).map((t) => t.signal);
  assert.deepEqual(signals(false), Object.keys(DEFAULT_HARD));
  assert.deepEqual(signals(true), [...Object.keys(DEFAULT_HARD), "allocatableMemory.available"]);
});

const wrong: { name: string; texts: Partial<typeof NONE>; want: RegExp }[] = [
  {
    name: "an unknown signal",
    texts: { hard: { "cpu.available": "1" } },
    want: /unsupported eviction signal cpu.available/,
  },
  { name: "a share above one", texts: { hard: { "memory.available": "101%" } }, want: /must be <= 100%/ },
  { name: "a negative share", texts: { hard: { "memory.available": "-1%" } }, want: /must be >= 0%/ },
  { name: "no number", texts: { hard: { "memory.available": "much" } }, want: /memory.available/ },
  { name: "nothing", texts: { hard: { "memory.available": "0" } }, want: /must be positive/ },
  {
    name: "a soft threshold without grace",
    texts: { soft: { "memory.available": "1Gi" } },
    want: /grace period must be specified/,
  },
];
for (const { name, texts, want } of wrong) {
  test(`parseThresholds() refuses ${name}`, () => {
    assert.throws(() => parseThresholds({ ...NONE, ...texts }, true), want);
  });
}

test("parseThresholds() takes 0% and 100% for no threshold", () => {
  const hard = { "nodefs.available": "0%", "imagefs.available": "100%", "memory.available": "1Gi" };
  assert.deepEqual(
    parseThresholds({ ...NONE, hard }, false).map((t) => t.signal),
    ["memory.available"],
  );
});

test("withContainerFs() copies the thresholds of the filesystem that containers are on", () => {
  const hard = parseThresholds({ ...NONE, hard: { "nodefs.available": "10%", "imagefs.available": "15%" } }, false);
  const of = (dedicated: boolean) => withContainerFs(hard, dedicated).find((t) => t.signal === "containerfs.available");
  assert.deepEqual([of(false)?.value, of(true)?.value], [{ share: 0.1 }, { share: 0.15 }]);
});

test("mostUrgent() takes memory first", () => {
  const hard = { "nodefs.available": "10%", "pid.available": "10%", "memory.available": "1Gi" };
  assert.equal(mostUrgent(parseThresholds({ ...NONE, hard }, false))?.signal, "memory.available");
});

test("thresholdsMet() is strict, and with reclaim asks for more than the threshold", () => {
  const texts = { ...NONE, hard: { "memory.available": "100Mi" }, minimumReclaim: { "memory.available": "50Mi" } };
  const thresholds = parseThresholds(texts, false);
  const met = (available: number, withReclaim: boolean) =>
    thresholdsMet(thresholds, memory(available), withReclaim).length === 1;
  assert.deepEqual([met(99, false), met(100, false), met(149, true), met(150, true)], [true, false, true, false]);
  assert.deepEqual(thresholdsMet(thresholds, {}, true), []);
});

test("nextPressure() acts on a soft threshold after its grace and keeps the condition for the transition period", () => {
  const thresholds = parseThresholds(
    { ...NONE, soft: { "memory.available": "100Mi" }, softGracePeriod: { "memory.available": "30s" } },
    false,
  );
  let pressure: Pressure = NO_PRESSURE;
  const look = (now: number, available: number) => {
    const input = { thresholds, observations: memory(available, now), now, transitionMs: 60_000 };
    const step = nextPressure(pressure, input);
    pressure = step.pressure;
    return [step.due.length, pressure.conditions.join()];
  };
  assert.deepEqual(look(1000, 90), [0, "MemoryPressure"]);
  assert.deepEqual(look(30_999, 90), [0, "MemoryPressure"]);
  assert.deepEqual(look(31_000, 90), [1, "MemoryPressure"]);
  assert.deepEqual(look(32_000, 200), [0, "MemoryPressure"]);
  assert.deepEqual(look(90_999, 200), [0, "MemoryPressure"]);
  assert.deepEqual(look(91_000, 200), [0, ""]);
  assert.deepEqual(look(92_000, 90), [0, "MemoryPressure"], "the grace begins anew");
});

test("nextPressure() does not act twice on one measurement", () => {
  const thresholds = parseThresholds({ ...NONE, hard: { "memory.available": "100Mi" } }, false);
  const input = { thresholds, observations: memory(50, 7), now: 10, transitionMs: 0 };
  const first = nextPressure(NO_PRESSURE, input);
  assert.equal(first.due.length, 1);
  assert.equal(nextPressure(first.pressure, { ...input, now: 11 }).due.length, 0);
});

test("nextPressure() tells a condition exactly while it was seen within the transition period", () => {
  const thresholds = parseThresholds({ ...NONE, hard: { "memory.available": "100Mi" } }, false);
  fc.assert(
    fc.property(
      fc.array(fc.record({ ms: fc.integer({ min: 1, max: 50_000 }), free: fc.integer({ min: 0, max: 200 }) })),
      (looks) => {
        let pressure: Pressure = NO_PRESSURE;
        let now = 0;
        let seen = Number.NEGATIVE_INFINITY;
        for (const { ms, free } of looks) {
          now += ms;
          if (free < 100) seen = now;
          const input = { thresholds, observations: memory(free, now), now, transitionMs: 60_000 };
          const step = nextPressure(pressure, input);
          pressure = step.pressure;
          assert.equal(pressure.conditions.length === 1, now - seen < 60_000);
          assert.equal(step.due.length === 1, free < 100);
        }
      },
    ),
  );
});
