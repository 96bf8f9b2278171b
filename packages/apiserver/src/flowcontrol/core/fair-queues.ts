/**
 * The fair queues of one priority level: who runs now, who waits where, who is turned away. Pure: time is an argument, and what
 * happens to a request is said through its callback.
 *
 * Flows are dealt to a few of the queues (shuffle sharding) and join the one with the least work ahead. Virtual time R tells how much
 * work each busy queue has been given so far; the next request comes from the queue whose turn would end first. A request takes
 * `seats` while it runs, and after it, for `extraMs`, `finalSeats` (the watchers' share of a write).
 *
 *   request -> queue full? rejected : waiting -> running -> done
 *                                        `-> cancelled (its time ran out, its client left)
 *
 * Source: KEP-1040; k8s.io/apiserver/pkg/util/flowcontrol/fairqueuing/queueset
 */
import { dealHand } from "./shuffle-shard.ts";

export interface QueuesConfig {
  /** 0: nobody waits. */
  readonly queues: number;
  readonly handSize: number;
  readonly queueLengthLimit: number;
}

export interface Work {
  readonly seats: number;
  /** Held for `extraMs` after the end. */
  readonly finalSeats: number;
  readonly extraMs: number;
}

export type Outcome = "running" | "waiting" | "queue-full" | "concurrency-limit";

/** One request in the level. */
export interface Ticket {
  readonly work: Work;
  readonly flow: string;
  readonly arrivedMs: number;
  state: "waiting" | "running" | "final" | "gone";
  startedMs: number;
  readonly queue: Queue | undefined;
  readonly onRun: () => void;
}

interface Queue {
  readonly index: number;
  readonly waiting: Ticket[];
  running: number;
  seatsRunning: number;
  /** Virtual time at which the work handed out so far is done. */
  nextR: number;
}

/** What a request is reckoned to take before it is known. Source: queueset.go, estimatedServiceDuration */
const GUESS_MS = 3;

export class FairQueues {
  #config: QueuesConfig;
  #limit: number;
  #queues: Queue[];
  /** Virtual time: how much each busy queue has got. */
  #virtualR = 0;
  #lastMs: number;
  #seatsInUse = 0;
  #seatsWaiting = 0;
  #running = 0;
  #waiting = 0;

  constructor(config: QueuesConfig, limit: number, nowMs: number) {
    this.#config = config;
    this.#limit = limit;
    this.#lastMs = nowMs;
    this.#queues = makeQueues(config.queues);
  }

  get limit(): number {
    return this.#limit;
  }

  get seatsInUse(): number {
    return this.#seatsInUse;
  }

  /** Of running and waiting requests: what the level could use. */
  get seatDemand(): number {
    return this.#seatsInUse + this.#seatsWaiting;
  }

  get running(): number {
    return this.#running;
  }

  get waiting(): number {
    return this.#waiting;
  }

  get isIdle(): boolean {
    return this.#running === 0 && this.#waiting === 0 && this.#seatsInUse === 0;
  }

  /** For the debug pages. */
  describe(): readonly {
    readonly waiting: readonly Ticket[];
    readonly running: number;
    readonly seats: number;
    readonly nextR: number;
  }[] {
    return this.#queues.map(({ waiting, running, seatsRunning, nextR }) => ({
      waiting,
      running,
      seats: seatsRunning,
      nextR,
    }));
  }

  setLimit(limit: number, nowMs: number): void {
    this.#sync(nowMs);
    this.#limit = limit;
    this.#dispatch(nowMs);
  }

  /** Changes numbers of queues; who waits goes on waiting in the queue it has. */
  configure(config: QueuesConfig): void {
    if (config.queues !== this.#config.queues) {
      const kept = this.#queues.filter(
        (queue) => queue.waiting.length + queue.running > 0 && queue.index >= config.queues,
      );
      this.#queues = [...makeQueues(config.queues, this.#queues), ...kept];
    }
    this.#config = config;
  }

  /** Takes a request in. `onRun` is called later, once, if the outcome is "waiting" and its turn comes. */
  request(
    flow: { readonly hash: bigint; readonly name: string },
    work: Work,
    nowMs: number,
    onRun: () => void,
  ): { readonly outcome: Outcome; readonly ticket: Ticket } {
    this.#sync(nowMs);
    const queue = this.#config.queues === 0 ? undefined : this.#pick(flow.hash);
    const ticket: Ticket = { work, flow: flow.name, arrivedMs: nowMs, state: "gone", startedMs: 0, queue, onRun };
    if (queue === undefined) {
      if (!this.#fits(work.seats)) return { outcome: "concurrency-limit", ticket };
      this.#start(ticket, nowMs);
      return { outcome: "running", ticket };
    }
    const { queueLengthLimit } = this.#config;
    if (queue.waiting.length >= queueLengthLimit && !this.#fits(work.seats)) return { outcome: "queue-full", ticket };
    ticket.state = "waiting";
    if (queue.waiting.length === 0 && queue.running === 0) queue.nextR = this.#virtualR;
    queue.waiting.push(ticket);
    this.#waiting += 1;
    this.#seatsWaiting += work.seats;
    this.#dispatch(nowMs, ticket);
    return { outcome: (ticket.state as Ticket["state"]) === "running" ? "running" : "waiting", ticket };
  }

  /** The client left or waited too long; false when it runs already. */
  cancel(ticket: Ticket, nowMs: number): boolean {
    if (ticket.state !== "waiting") return false;
    this.#sync(nowMs);
    const at = ticket.queue?.waiting.indexOf(ticket) ?? -1;
    ticket.queue?.waiting.splice(at, 1);
    this.#waiting -= 1;
    this.#seatsWaiting -= ticket.work.seats;
    ticket.state = "gone";
    this.#dispatch(nowMs);
    return true;
  }

  /** The request is answered. True: its final seats are still taken, call `release` after `extraMs`. */
  finish(ticket: Ticket, nowMs: number): boolean {
    if (ticket.state !== "running") throw new Error(`finish of a request that is ${ticket.state}`);
    this.#sync(nowMs);
    const { work, queue } = ticket;
    this.#running -= 1;
    if (queue !== undefined) {
      queue.running -= 1;
      queue.seatsRunning -= work.seats;
      // What it really took, instead of the guess.
      queue.nextR += (nowMs - ticket.startedMs - GUESS_MS) * work.seats;
    }
    const keeps = work.finalSeats > 0 && work.extraMs > 0;
    this.#seatsInUse += (keeps ? work.finalSeats : 0) - work.seats;
    ticket.state = keeps ? "final" : "gone";
    this.#dispatch(nowMs);
    return keeps;
  }

  release(ticket: Ticket, nowMs: number): void {
    if (ticket.state !== "final") return;
    this.#sync(nowMs);
    this.#seatsInUse -= ticket.work.finalSeats;
    ticket.state = "gone";
    this.#dispatch(nowMs);
  }

  /** Wide requests run alone rather than never. */
  #fits(seats: number): boolean {
    if (seats > this.#limit) return this.#seatsInUse === 0;
    return this.#seatsInUse + seats <= this.#limit;
  }

  /** Virtual time runs as fast as each busy queue is served. */
  #sync(nowMs: number): void {
    const elapsed = nowMs - this.#lastMs;
    this.#lastMs = nowMs;
    if (elapsed <= 0 || this.#seatsInUse + this.#seatsWaiting === 0) return;
    let active = 0;
    for (const queue of this.#queues) if (queue.waiting.length + queue.running > 0) active += 1;
    if (active > 0) this.#virtualR += (elapsed * Math.min(this.seatDemand, this.#limit)) / active;
  }

  /** Of the flow's queues the one with the least work before the newcomer. */
  #pick(hash: bigint): Queue | undefined {
    if (this.#waiting === 0 && this.#seatsInUse < this.#limit / 2) {
      // Nobody waits and nobody will: any of the hand will do, the first is cheapest to find.
      return this.#queues[Number(hash % BigInt(this.#config.queues))];
    }
    let best: Queue | undefined;
    let bestWork = Number.POSITIVE_INFINITY;
    for (const index of dealHand(hash, this.#config.queues, this.#config.handSize)) {
      const queue = this.#queues[index];
      if (queue === undefined) continue;
      const work = queue.waiting.reduce((sum, ticket) => sum + ticket.work.seats, queue.seatsRunning);
      if (work < bestWork) {
        best = queue;
        bestWork = work;
      }
    }
    return best;
  }

  #dispatch(nowMs: number, quiet?: Ticket): void {
    while (this.#waiting > 0) {
      let best: Queue | undefined;
      let bestR = Number.POSITIVE_INFINITY;
      for (const queue of this.#queues) {
        const [first] = queue.waiting;
        if (first === undefined) continue;
        const endR = queue.nextR + first.work.seats * GUESS_MS;
        if (endR < bestR) {
          best = queue;
          bestR = endR;
        }
      }
      const ticket = best?.waiting[0];
      if (best === undefined || ticket === undefined || !this.#fits(ticket.work.seats)) return;
      best.waiting.shift();
      this.#waiting -= 1;
      this.#seatsWaiting -= ticket.work.seats;
      this.#start(ticket, nowMs);
      if (ticket !== quiet) ticket.onRun();
    }
  }

  #start(ticket: Ticket, nowMs: number): void {
    const { work, queue } = ticket;
    ticket.state = "running";
    ticket.startedMs = nowMs;
    this.#running += 1;
    this.#seatsInUse += work.seats;
    if (queue === undefined) return;
    queue.running += 1;
    queue.seatsRunning += work.seats;
    queue.nextR += GUESS_MS * work.seats;
  }
}

function makeQueues(count: number, old: readonly Queue[] = []): Queue[] {
  return Array.from(
    { length: count },
    (_, index) => old[index] ?? { index, waiting: [], running: 0, seatsRunning: 0, nextR: 0 },
  );
}
