import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { checkHistory } from "./check-history.ts";
import type { Entry, Operation, Outcome } from "./history.ts";

type Row = readonly [calledMs: number, answeredMs: number, operation: Operation, outcome: Outcome];
const create = (value: string): Operation => ({ kind: "create", value });
const update = (value: string, expected: number): Operation => ({ kind: "update", value, expected });
const remove = (expected: number): Operation => ({ kind: "delete", expected });
const read: Operation = { kind: "read" };
const done = (version: number): Outcome => ({ kind: "done", version });
const found = (value: string, version: number): Outcome => ({ kind: "value", value, version });
const refused: Outcome = { kind: "refused" };
const absent: Outcome = { kind: "absent" };
const unknown: Outcome = { kind: "unknown" };
const FOREVER = Number.POSITIVE_INFINITY;

const entriesOf = (rows: readonly Row[]): Entry[] =>
  rows.map(([calledMs, answeredMs, operation, outcome], client) => {
    return { key: "k", client, operation, outcome, calledMs, answeredMs };
  });

const table: readonly { readonly name: string; readonly ok: boolean; readonly rows: readonly Row[] }[] = [
  { name: "nothing happened", ok: true, rows: [] },
  {
    name: "a read follows the create that was acknowledged",
    ok: true,
    rows: [
      [0, 1, create("a"), done(5)],
      [2, 3, read, found("a", 5)],
    ],
  },
  {
    name: "an acknowledged write is lost",
    ok: false,
    rows: [
      [0, 1, create("a"), done(5)],
      [2, 3, read, absent],
    ],
  },
  {
    name: "a read is stale",
    ok: false,
    rows: [
      [0, 1, create("a"), done(5)],
      [2, 3, update("b", 5), done(6)],
      [4, 5, read, found("a", 5)],
    ],
  },
  {
    name: "a read beside a write sees either state",
    ok: true,
    rows: [
      [0, 1, create("a"), done(5)],
      [2, 9, update("b", 5), done(6)],
      [3, 4, read, found("a", 5)],
      [5, 6, read, found("b", 6)],
    ],
  },
  {
    name: "reads beside a write go back in time",
    ok: false,
    rows: [
      [0, 1, create("a"), done(5)],
      [2, 9, update("b", 5), done(6)],
      [3, 4, read, found("b", 6)],
      [5, 6, read, found("a", 5)],
    ],
  },
  {
    name: "two creates both succeed",
    ok: false,
    rows: [
      [0, 5, create("a"), done(5)],
      [1, 6, create("b"), done(6)],
    ],
  },
  {
    name: "two guarded updates of one version both succeed",
    ok: false,
    rows: [
      [0, 1, create("a"), done(5)],
      [2, 6, update("b", 5), done(6)],
      [3, 7, update("c", 5), done(7)],
    ],
  },
  {
    name: "one of two guarded updates is refused",
    ok: true,
    rows: [
      [0, 1, create("a"), done(5)],
      [2, 6, update("b", 5), refused],
      [3, 7, update("c", 5), done(7)],
    ],
  },
  {
    name: "an update is refused though nobody wrote",
    ok: false,
    rows: [
      [0, 1, create("a"), done(5)],
      [2, 6, update("b", 5), refused],
    ],
  },
  {
    name: "a create of unknown outcome happened late",
    ok: true,
    rows: [
      [0, FOREVER, create("a"), unknown],
      [2, 3, read, absent],
      [4, 5, read, found("a", 9)],
      [6, 7, update("b", 9), done(10)],
    ],
  },
  {
    name: "a write of unknown outcome happened twice",
    ok: false,
    rows: [
      [0, FOREVER, create("a"), unknown],
      [2, 3, read, found("a", 9)],
      [4, 5, remove(9), done(9)],
      [6, 7, read, found("a", 11)],
    ],
  },
  {
    name: "a write of unknown outcome never happened",
    ok: true,
    rows: [
      [0, 1, create("a"), done(5)],
      [2, FOREVER, update("b", 5), unknown],
      [3, 4, update("c", 5), done(8)],
      [5, 6, read, found("c", 8)],
    ],
  },
  {
    name: "a write happened before it was called",
    ok: false,
    rows: [
      [0, 1, read, found("a", 5)],
      [2, 3, create("a"), done(5)],
    ],
  },
  {
    name: "a write failed for certain and is seen all the same",
    ok: false,
    rows: [
      [0, 1, create("a"), { kind: "failed" }],
      [2, 3, read, found("a", 5)],
    ],
  },
  {
    name: "a version goes backwards",
    ok: false,
    rows: [
      [0, 1, create("a"), done(5)],
      [2, 3, update("b", 5), done(4)],
    ],
  },
];

for (const { name, ok, rows } of table) {
  test(`checkHistory() is ${ok} when ${name}`, () => assert.equal(checkHistory(entriesOf(rows)).ok, ok));
}

test("checkHistory() tells what it could explain and what not", () => {
  const verdict = checkHistory(
    entriesOf([
      [0, 1, create("a"), done(5)],
      [2, 3, read, absent],
    ]),
  );
  assert.equal(verdict.ok, false);
  assert.deepEqual(verdict.ok ? [] : [verdict.done.length, verdict.stuck.map((entry) => entry.operation.kind)], [
    1,
    ["read"],
  ]);
});

/** A real register: operations happen at a random moment within their span, some answers get lost. */
function simulate(seeds: readonly number[]): Entry[] {
  let state: { value: string; version: number } | undefined;
  let version = 1;
  // A client names only versions that somebody was told: the checker relies on it.
  let told = 1;
  const planned = seeds.map((seed, index) => {
    const calledMs = index * 2 + (seed % 3);
    const answeredMs = calledMs + 1 + (seed % 11);
    return { seed, index, calledMs, answeredMs, atMs: calledMs + ((seed % 97) / 97) * (answeredMs - calledMs) };
  });
  return planned
    .toSorted((a, b) => a.atMs - b.atMs)
    .map(({ seed, index, calledMs, answeredMs }) => {
      const value = `v${index}`;
      const expected = seed % 5 === 0 ? 1 : told;
      const operation = [create(value), update(value, expected), remove(expected), read][seed % 4] as Operation;
      let outcome: Outcome = refused;
      if (operation.kind === "read") outcome = state === undefined ? absent : found(state.value, state.version);
      else if (operation.kind === "create" ? state === undefined : state?.version === expected) {
        version++;
        const last = state?.version ?? version;
        state = operation.kind === "delete" ? undefined : { value, version };
        outcome = done(operation.kind === "delete" ? last : version);
      }
      const isLost = operation.kind !== "read" && seed % 7 === 0;
      if (!isLost && (outcome.kind === "value" || outcome.kind === "done")) told = state?.version ?? told;
      if (isLost) return { key: "k", client: index, operation, outcome: unknown, calledMs, answeredMs: FOREVER };
      return { key: "k", client: index, operation, outcome, calledMs, answeredMs };
    });
}

test("checkHistory() accepts whatever a real register does, and nothing else about its reads", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(100_000), { maxLength: 60 }), fc.nat(1_000), (seeds, pick) => {
      const entries = simulate(seeds);
      assert.equal(checkHistory(entries).ok, true);
      const reads = entries.filter(({ outcome }) => outcome.kind === "value");
      const victim = reads[pick % Math.max(1, reads.length)];
      if (victim === undefined) return;
      const broken = entries.map((entry) =>
        entry === victim ? { ...entry, outcome: found("never written", 3) } : entry,
      );
      assert.equal(checkHistory(broken).ok, false);
    }),
    { numRuns: 300 },
  );
});
