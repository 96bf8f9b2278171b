/**
 * Whether a history of one key is linearizable: whether each operation can be given one moment between its call and its answer, so that in
 * the order of these moments every answer is what a plain register with versions would have said.
 *
 * A search over "which operation came next", as Wing and Gong describe it, that remembers (set of operations done, state) and never looks
 * at the same twice, as Lowe added. Operations of unknown outcome may come at any moment after their call, or never. Keys are independent:
 * check each by itself. Its time grows with the number of operations that overlap, not with the length of the history.
 * Source: Wing and Gong, Testing and Verifying Concurrent Objects (1993); Lowe, Testing for Linearizability (2017)
 */
import type { Entry } from "./history.ts";

/** Undefined: the key does not exist. A version of 0 is one that nobody was told: that of a write of unknown outcome. */
type State = { readonly value: string; readonly version: number } | undefined;

export type Verdict =
  | { readonly ok: true }
  /** `done`: the longest sequence that can be explained; `stuck`: what could not follow it. */
  | { readonly ok: false; readonly done: readonly Entry[]; readonly stuck: readonly Entry[] };

/** `entries` are of one key. `initial`: what is there before; nothing if absent. */
export function checkHistory(entries: readonly Entry[], initial?: { value: string; version: number }): Verdict {
  const all = withoutEffect(entries).toSorted((a, b) => a.calledMs - b.calledMs || a.answeredMs - b.answeredMs);
  const mustHappen = all.filter(({ outcome }) => outcome.kind !== "unknown").length;
  const search = new Search(all, mustHappen);
  return search.run(initial);
}

/**
 * Leaves out what can't have had an effect: failed operations, reads without an answer, and, where the last thing known is a read, writes
 * of unknown outcome whose value nobody ever read. Had such a write happened, its value would still be there at the end: to replace it a
 * client must name its version, which it can only know from reading it. (Each write must have a value of its own.)
 */
function withoutEffect(entries: readonly Entry[]): Entry[] {
  const certain = entries.filter(({ outcome }) => outcome.kind !== "failed" && outcome.kind !== "unknown");
  const endMs = Math.max(...certain.filter(({ operation }) => operation.kind !== "read").map((e) => e.answeredMs));
  const endsWithRead = certain.some(({ operation, calledMs }) => operation.kind === "read" && calledMs >= endMs);
  const read = new Set(entries.map(({ outcome }) => (outcome.kind === "value" ? outcome.value : undefined)));
  return entries.filter(({ operation, outcome }) => {
    if (outcome.kind !== "unknown") return outcome.kind !== "failed";
    if (operation.kind === "read") return false;
    return operation.kind === "delete" || !endsWithRead || read.has(operation.value);
  });
}

interface Step {
  readonly index: number;
  readonly before: State;
  /** Candidates not tried yet after this one, in this position. */
  readonly rest: number[];
}

class Search {
  readonly #all: readonly Entry[];
  readonly #mustHappen: number;
  readonly #isDone: boolean[];
  readonly #seen = new Set<string>();
  #certain = 0;
  #best: readonly Entry[] = [];
  #stuck: readonly Entry[] = [];

  constructor(all: readonly Entry[], mustHappen: number) {
    this.#all = all;
    this.#mustHappen = mustHappen;
    this.#isDone = all.map(() => false);
  }

  run(initial: State): Verdict {
    const path: Step[] = [];
    let state = initial;
    let candidates = this.#candidates();
    for (;;) {
      if (this.#certain === this.#mustHappen) return { ok: true };
      const index = candidates.shift();
      if (index === undefined) {
        this.#remember(path);
        const step = path.pop();
        if (step === undefined) return { ok: false, done: this.#best, stuck: this.#stuck };
        this.#mark(step.index, false);
        state = step.before;
        candidates = step.rest;
        continue;
      }
      const entry = this.#all[index] as Entry;
      const next = apply(state, entry);
      if (next === "impossible") continue;
      this.#mark(index, true);
      if (!this.#isNew(next.state)) {
        this.#mark(index, false);
        continue;
      }
      path.push({ index, before: state, rest: candidates });
      state = next.state;
      candidates = this.#candidates();
    }
  }

  /** What may come next: everything that was called before the first answer among what is not done. */
  #candidates(): number[] {
    let firstAnswerMs = Number.POSITIVE_INFINITY;
    for (const [index, entry] of this.#all.entries()) {
      if (this.#isDone[index] === true) continue;
      if (entry.calledMs > firstAnswerMs) break;
      firstAnswerMs = Math.min(firstAnswerMs, entry.answeredMs);
    }
    const found: number[] = [];
    for (const [index, entry] of this.#all.entries()) {
      if (entry.calledMs > firstAnswerMs) break;
      if (this.#isDone[index] !== true) found.push(index);
    }
    // What is certain first: what is unknown mostly did not happen.
    return found.sort((a, b) => Number(this.#isUnknown(a)) - Number(this.#isUnknown(b)));
  }

  #isUnknown(index: number): boolean {
    return this.#all[index]?.outcome.kind === "unknown";
  }

  #mark(index: number, done: boolean): void {
    this.#isDone[index] = done;
    if (!this.#isUnknown(index)) this.#certain += done ? 1 : -1;
  }

  #isNew(state: State): boolean {
    // Everything before the first that is not done is done: the rest tells the sets apart.
    const first = this.#isDone.indexOf(false);
    const beyond: number[] = [];
    for (let i = first; i >= 0 && i < this.#isDone.length; i++) if (this.#isDone[i] === true) beyond.push(i);
    const id = `${first} ${beyond.join(",")} ${state === undefined ? "-" : `${state.version} ${state.value}`}`;
    if (this.#seen.has(id)) return false;
    this.#seen.add(id);
    return true;
  }

  #remember(path: readonly Step[]): void {
    if (path.length < this.#best.length || (path.length === this.#best.length && this.#stuck.length > 0)) return;
    this.#best = path.map(({ index }) => this.#all[index] as Entry);
    this.#stuck = this.#candidates().map((index) => this.#all[index] as Entry);
  }
}

const IMPOSSIBLE = "impossible";

/** The state after `entry`, if a register in `state` would have answered as it did. */
function apply(state: State, { operation, outcome }: Entry): { readonly state: State } | typeof IMPOSSIBLE {
  switch (operation.kind) {
    case "read":
      if (outcome.kind === "absent") return state === undefined ? { state } : IMPOSSIBLE;
      if (outcome.kind !== "value") return { state };
      return readsAs(state, outcome);
    case "create":
      if (outcome.kind === "refused") return state === undefined ? IMPOSSIBLE : { state };
      if (state !== undefined) return IMPOSSIBLE;
      return { state: { value: operation.value, version: outcome.kind === "done" ? outcome.version : 0 } };
    case "update": {
      const fits = isVersion(state, operation.expected);
      if (outcome.kind === "refused") return fits === "yes" ? IMPOSSIBLE : { state };
      if (fits === "no") return IMPOSSIBLE;
      const version = outcome.kind === "done" ? outcome.version : 0;
      if (state !== undefined && version !== 0 && version <= state.version) return IMPOSSIBLE;
      return { state: { value: operation.value, version } };
    }
    case "delete": {
      const fits = isVersion(state, operation.expected);
      if (outcome.kind === "refused") return fits === "yes" ? IMPOSSIBLE : { state };
      return fits === "no" ? IMPOSSIBLE : { state: undefined };
    }
    default:
      throw new Error(`unknown operation ${operation satisfies never}`);
  }
}

/** A read of a value whose version nobody was told names it: from then on it is known. */
function readsAs(
  state: State,
  seen: { readonly value: string; readonly version: number },
): { readonly state: State } | typeof IMPOSSIBLE {
  if (state === undefined || state.value !== seen.value) return IMPOSSIBLE;
  if (state.version !== 0 && state.version !== seen.version) return IMPOSSIBLE;
  return { state: { value: seen.value, version: seen.version } };
}

/** "maybe": the state's version is not known yet. */
function isVersion(state: State, expected: number): "yes" | "no" | "maybe" {
  if (state === undefined) return "no";
  if (state.version === 0) return "maybe";
  return state.version === expected ? "yes" : "no";
}

/** The history around a failure, for a test's message. */
export function describeEntry({ client, operation, outcome, calledMs, answeredMs }: Entry): string {
  const span = `${calledMs.toFixed(1)}-${answeredMs.toFixed(1)}`;
  return `${span} client ${client}: ${JSON.stringify(operation)} -> ${JSON.stringify(outcome)}`;
}
