/**
 * Fair use of the server: finds a request's FlowSchema and priority level, and lets it run, wait or go. Owns the levels' queues and
 * how seats are lent between them. Fed with the objects by `configure`; knows neither HTTP nor the store.
 * Source: KEP-1040
 */

import type { FlowSchema, PriorityLevelConfiguration } from "@knarr/api/generated/types/flowcontrol-v1.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import { FairQueues, type QueuesConfig, type Ticket, type Work } from "./core/fair-queues.ts";
import { type FlowRequest, flowOf, type PreparedSchema, prepareSchemas } from "./core/match.ts";
import { RetryAfter } from "./core/retry-after.ts";
import { currentSeats, type LevelSeats, type LevelShares, nominalSeats, smoothDemand } from "./core/seat-allocation.ts";
import { hashOf } from "./core/shuffle-shard.ts";
import type { FlowMetrics } from "./metrics.ts";

/** Source: apf_controller.go, borrowingAdjustmentPeriod. */
const ADJUST_PERIOD_MS = 10_000;
const MAX_HASHES = 4_096;
const NOT_QUEUED: QueuesConfig = { queues: 0, handSize: 0, queueLengthLimit: 0 };

export interface Level {
  readonly name: string;
  uid: string;
  isExempt: boolean;
  queues: FairQueues;
  seats: LevelSeats;
  /** Most seats wanted at once since the last adjustment, and in the period before. */
  high: number;
  lastHigh: number;
  smoothed: number;
  /** Sum and sum of squares of the demand over time, for average and deviation. */
  samples: { count: number; sum: number; squares: number };
  readonly counts: { dispatched: number; rejected: number; timedOut: number; cancelled: number };
}

export interface Classified {
  readonly schema: PreparedSchema;
  readonly level: Level;
}

/** Of a request that may run. `done` must be called once, when it is answered. */
export interface Admission extends Classified {
  readonly done: () => void;
}

export type RejectReason = "queue-full" | "concurrency-limit" | "time-out" | "cancelled";

export class Rejected extends Error {
  readonly reason: RejectReason;

  constructor(reason: RejectReason) {
    super(`flow control: ${reason}`);
    this.name = "Rejected";
    this.reason = reason;
  }
}

export interface FlowControlOptions {
  /** Seats of the whole server: --max-requests-inflight + --max-mutating-requests-inflight. */
  readonly totalSeats: number;
  /** Longest wait in a queue. */
  readonly maxWaitMs: number;
  readonly clock: Clock;
}

export class FlowControl {
  readonly #options: FlowControlOptions;
  readonly #levels = new Map<string, Level>();
  #schemas: readonly PreparedSchema[] = [];
  #metrics: FlowMetrics | undefined;
  readonly #hashes = new Map<string, bigint>();
  readonly #retryAfter = new RetryAfter();

  constructor(options: FlowControlOptions) {
    this.#options = options;
  }

  useMetrics(metrics: FlowMetrics): void {
    this.#metrics = metrics;
  }

  get levels(): ReadonlyMap<string, Level> {
    return this.#levels;
  }

  get schemas(): readonly PreparedSchema[] {
    return this.#schemas;
  }

  /** Takes over the objects as they are now. Levels that are gone stay until their last request is answered. */
  configure(schemas: readonly FlowSchema[], levels: readonly PriorityLevelConfiguration[]): void {
    const nowMs = this.#options.clock.monotonicMs();
    const shares = new Map(levels.map((level) => [level.metadata.name ?? "", sharesOf(level)]));
    const seats = nominalSeats(this.#options.totalSeats, shares);
    for (const object of levels) this.#configureLevel(object, seats, nowMs);
    for (const [name, level] of this.#levels) {
      if (shares.has(name) || !level.queues.isIdle) continue;
      this.#levels.delete(name);
      this.#retryAfter.forget(name);
    }
    // A schema whose level does not exist matches nothing: the next one gets the request.
    this.#schemas = prepareSchemas(schemas).filter(({ level }) => this.#levels.has(level));
  }

  /** Which level the request belongs to. undefined only before `configure`. */
  classify(request: FlowRequest): Classified | undefined {
    for (const schema of this.#schemas) {
      if (!schema.matches(request)) continue;
      const level = this.#levels.get(schema.level);
      if (level !== undefined) return { schema, level };
    }
    return undefined;
  }

  /** Runs now (the result), or later (a promise), or not at all (throws or rejects with Rejected). */
  admit(at: Classified, request: FlowRequest, work: Work, signal: () => AbortSignal): Admission | Promise<Admission> {
    const { schema, level } = at;
    const { clock } = this.#options;
    const nowMs = clock.monotonicMs();
    const labels = { priority_level: level.name, flow_schema: schema.name };
    if (level.isExempt) {
      this.#countRun(level, labels);
      const { ticket } = level.queues.request(EXEMPT_FLOW, work, nowMs, () => {});
      return this.#admission(at, ticket);
    }
    const name = flowOf(schema, request);
    // Only of a request that has to wait: most run at once.
    let resolve: (admission: Admission) => void = () => {};
    let stopWaiting = () => {};
    const { outcome, ticket } = level.queues.request({ name, hash: this.#hash(name) }, work, nowMs, () => {
      stopWaiting();
      this.#countRun(level, labels);
      this.#metrics?.waitSeconds.observe({ ...labels, execute: "true" }, (clock.monotonicMs() - nowMs) / 1000);
      resolve(this.#admission(at, ticket));
    });
    this.#note(level);
    switch (outcome) {
      case "running":
        this.#countRun(level, labels);
        return this.#admission(at, ticket);
      case "waiting": {
        const { promise, ...later } = Promise.withResolvers<Admission>();
        resolve = later.resolve;
        const giveUp = (reason: RejectReason) => () => {
          stopWaiting();
          if (!level.queues.cancel(ticket, clock.monotonicMs())) return;
          if (reason === "time-out") this.#retryAfter.dropped(level.name, clock.monotonicMs());
          if (reason === "time-out") level.counts.timedOut += 1;
          else level.counts.cancelled += 1;
          this.#metrics?.rejected.inc({ ...labels, reason });
          this.#metrics?.waitSeconds.observe({ ...labels, execute: "false" }, (clock.monotonicMs() - nowMs) / 1000);
          later.reject(new Rejected(reason));
        };
        const gone = signal();
        const onGone = giveUp("cancelled");
        const cancelTimer = clock.setTimeout(giveUp("time-out"), this.#options.maxWaitMs);
        gone.addEventListener("abort", onGone, { once: true });
        stopWaiting = () => {
          cancelTimer();
          gone.removeEventListener("abort", onGone);
        };
        return promise;
      }
      case "queue-full":
      case "concurrency-limit":
        level.counts.rejected += 1;
        this.#retryAfter.dropped(level.name, nowMs);
        this.#metrics?.rejected.inc({ ...labels, reason: outcome });
        throw new Rejected(outcome);
      default:
        throw new Error(`unknown outcome ${outcome satisfies never}`);
    }
  }

  /** What to tell a client that this level turned away. */
  retryAfterSeconds(level: Level): number {
    return this.#retryAfter.secondsFor(level.name);
  }

  /** Lends and borrows seats until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    while (!signal.aborted) {
      try {
        await clock.sleep(ADJUST_PERIOD_MS, signal);
      } catch (error) {
        if (signal.aborted) return;
        throw error;
      }
      this.adjust();
    }
  }

  /** One turn of lending. */
  adjust(): void {
    const nowMs = this.#options.clock.monotonicMs();
    const limited = [...this.#levels.values()].filter((level) => !level.isExempt);
    for (const level of limited) {
      this.#note(level);
      const { count, sum, squares } = level.samples;
      const average = sum / count;
      const deviation = Math.sqrt(Math.max(0, squares / count - average * average));
      level.smoothed = smoothDemand(level.smoothed, { high: level.high, average, deviation });
      level.lastHigh = level.high;
    }
    const demand = new Map(
      limited.map((level) => [level.name, { ...level.seats, high: level.high, smoothed: level.smoothed }]),
    );
    for (const [name, seats] of currentSeats(this.#options.totalSeats, demand)) {
      this.#levels.get(name)?.queues.setLimit(seats, nowMs);
    }
    for (const level of limited) {
      level.high = level.queues.seatDemand;
      level.samples = { count: 0, sum: 0, squares: 0 };
    }
  }

  #configureLevel(object: PriorityLevelConfiguration, seats: ReadonlyMap<string, LevelSeats>, nowMs: number): void {
    const name = object.metadata.name ?? "";
    const own = seats.get(name) ?? { nominal: 0, min: 0, max: 0 };
    const isExempt = object.spec?.type === "Exempt";
    const limit = isExempt ? Number.POSITIVE_INFINITY : Math.max(1, own.nominal);
    const config = object.spec?.limited?.limitResponse?.queuing;
    const queuing: QueuesConfig =
      isExempt || config === undefined
        ? NOT_QUEUED
        : {
            queues: config.queues ?? 64,
            handSize: config.handSize ?? 8,
            queueLengthLimit: config.queueLengthLimit ?? 50,
          };
    const known = this.#levels.get(name);
    if (known === undefined) {
      const samples = { count: 0, sum: 0, squares: 0 };
      const counts = { dispatched: 0, rejected: 0, timedOut: 0, cancelled: 0 };
      const queues = new FairQueues(queuing, limit, nowMs);
      const uid = object.metadata.uid ?? "";
      const demand = { high: 0, lastHigh: 0, smoothed: 0, samples, counts };
      this.#levels.set(name, { name, uid, isExempt, queues, seats: own, ...demand });
      return;
    }
    known.uid = object.metadata.uid ?? "";
    known.isExempt = isExempt;
    known.queues.configure(queuing);
    const changed = known.seats.nominal !== own.nominal || known.seats.min !== own.min || known.seats.max !== own.max;
    known.seats = own;
    if (changed) known.queues.setLimit(limit, nowMs);
  }

  #admission(at: Classified, ticket: Ticket): Admission {
    const { clock } = this.#options;
    const { queues } = at.level;
    let isDone = false;
    const done = () => {
      if (isDone) return;
      isDone = true;
      if (queues.finish(ticket, clock.monotonicMs())) {
        clock.setTimeout(() => queues.release(ticket, clock.monotonicMs()), ticket.work.extraMs);
      }
    };
    return { ...at, done };
  }

  /** Hashing a name costs more than the rest of a request's way through here. */
  #hash(name: string): bigint {
    let hash = this.#hashes.get(name);
    if (hash === undefined) {
      hash = hashOf(name);
      if (this.#hashes.size >= MAX_HASHES) this.#hashes.clear();
      this.#hashes.set(name, hash);
    }
    return hash;
  }

  #countRun(level: Level, labels: { priority_level: string; flow_schema: string }): void {
    level.counts.dispatched += 1;
    this.#metrics?.dispatched.inc(labels);
  }

  #note(level: Level): void {
    const demand = level.queues.seatDemand;
    if (demand > level.high) level.high = demand;
    level.samples.count += 1;
    level.samples.sum += demand;
    level.samples.squares += demand * demand;
  }
}

const EXEMPT_FLOW = { name: "", hash: 0n };

function sharesOf({ spec }: PriorityLevelConfiguration): LevelShares {
  const { nominalConcurrencyShares, lendablePercent } = spec?.limited ?? spec?.exempt ?? {};
  return {
    shares: nominalConcurrencyShares ?? (spec?.type === "Exempt" ? 0 : 30),
    lendablePercent: lendablePercent ?? 0,
    borrowingLimitPercent: spec?.limited?.borrowingLimitPercent,
  };
}
