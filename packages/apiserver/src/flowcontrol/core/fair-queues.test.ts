import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { FairQueues, type Ticket } from "./fair-queues.ts";
import { dealHand, hashOf } from "./shuffle-shard.ts";

const QUEUED = { queues: 16, handSize: 4, queueLengthLimit: 3 };
const one = { seats: 1, finalSeats: 0, extraMs: 0 };
const flow = (name: string) => ({ name, hash: hashOf(name) });

describe("dealHand()", () => {
  test("dealHand() deals distinct cards of the deck, the same for the same hash", () => {
    fc.assert(
      fc.property(
        fc.bigInt(0n, 2n ** 64n - 1n),
        fc.integer({ min: 8, max: 512 }),
        fc.integer({ min: 1, max: 8 }),
        (hash, deck, hand) => {
          const dealt = dealHand(hash, deck, hand);
          assert.equal(new Set(dealt).size, hand);
          assert.ok(dealt.every((card) => card >= 0 && card < deck));
          assert.deepEqual(dealHand(hash, deck, hand), dealt);
        },
      ),
    );
  });
});

describe("FairQueues", () => {
  test("request() runs what fits, queues the rest, and refuses beyond the queue's length", () => {
    const queues = new FairQueues({ queues: 1, handSize: 1, queueLengthLimit: 2 }, 2, 0);
    const outcomes = Array.from({ length: 5 }, () => queues.request(flow("a"), one, 0, () => {}).outcome);
    assert.deepEqual(outcomes, ["running", "running", "waiting", "waiting", "queue-full"]);
  });

  test("request() refuses at once when the level has no queues", () => {
    const queues = new FairQueues({ queues: 0, handSize: 0, queueLengthLimit: 0 }, 1, 0);
    assert.equal(queues.request(flow("a"), one, 0, () => {}).outcome, "running");
    assert.equal(queues.request(flow("a"), one, 0, () => {}).outcome, "concurrency-limit");
  });

  test("finish() lets the next one run, cancel() takes one out", () => {
    const queues = new FairQueues({ queues: 1, handSize: 1, queueLengthLimit: 9 }, 1, 0);
    const ran: string[] = [];
    const first = queues.request(flow("a"), one, 0, () => {}).ticket;
    const second = queues.request(flow("a"), one, 1, () => ran.push("second")).ticket;
    queues.request(flow("a"), one, 2, () => ran.push("third"));
    assert.equal(queues.cancel(second, 3), true);
    queues.finish(first, 4);
    assert.deepEqual(ran, ["third"]);
    assert.equal(queues.cancel(second, 5), false);
  });

  test("finish() keeps the final seats until release()", () => {
    const queues = new FairQueues({ queues: 1, handSize: 1, queueLengthLimit: 9 }, 3, 0);
    const write = queues.request(flow("a"), { seats: 1, finalSeats: 3, extraMs: 5 }, 0, () => {}).ticket;
    let ran = false;
    assert.equal(queues.finish(write, 1), true);
    queues.request(flow("b"), one, 2, () => {
      ran = true;
    });
    assert.equal(ran, false);
    queues.release(write, 6);
    assert.equal(ran, true);
  });

  test("request() lets a request that is wider than the level run alone", () => {
    const queues = new FairQueues(QUEUED, 4, 0);
    let ran = false;
    const small = queues.request(flow("a"), one, 0, () => {}).ticket;
    queues.request(flow("b"), { seats: 10, finalSeats: 0, extraMs: 0 }, 0, () => {
      ran = true;
    });
    assert.equal(ran, false);
    queues.finish(small, 1);
    assert.equal(ran, true);
  });

  test("a flow with one request waits for about one turn of a flow with many", () => {
    const queues = new FairQueues({ queues: 64, handSize: 6, queueLengthLimit: 1_000 }, 2, 0);
    const order: string[] = [];
    const running: Ticket[] = [];
    const add = (name: string) => {
      const asked = queues.request(flow(name), one, 0, () => {
        order.push(name);
        running.push(asked.ticket);
      });
      if (asked.outcome === "running") running.push(asked.ticket);
    };
    for (let i = 0; i < 200; i++) add("elephant");
    add("mouse");
    for (let nowMs = 10; running.length > 0; nowMs += 10) {
      for (const ticket of running.splice(0)) queues.finish(ticket, nowMs);
    }
    assert.equal(order.length, 199);
    assert.ok(order.indexOf("mouse") < 20, `the mouse was number ${order.indexOf("mouse")}`);
  });

  test("every request ends once, seats are never overdrawn, and nothing waits while seats are free", () => {
    const step = fc.record({
      kind: fc.constantFrom("request", "finish", "cancel", "release"),
      flow: fc.integer({ min: 0, max: 5 }),
      seats: fc.integer({ min: 1, max: 4 }),
      finalSeats: fc.integer({ min: 0, max: 3 }),
      pick: fc.nat(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), fc.integer({ min: 1, max: 8 }), (steps, limit) => {
        const queues = new FairQueues(QUEUED, limit, 0);
        const waiting = new Set<Ticket>();
        const running = new Set<Ticket>();
        const final = new Set<Ticket>();
        let nowMs = 0;
        for (const { kind, flow: number, seats, finalSeats, pick } of steps) {
          nowMs += pick % 7;
          const choose = (from: Set<Ticket>) => [...from][pick % Math.max(1, from.size)];
          if (kind === "request") {
            const asked = queues.request(flow(`f${number}`), { seats, finalSeats, extraMs: 5 }, nowMs, () => {
              waiting.delete(asked.ticket);
              running.add(asked.ticket);
            });
            if (asked.outcome === "running") running.add(asked.ticket);
            if (asked.outcome === "waiting") waiting.add(asked.ticket);
          }
          const chosen = choose(kind === "finish" ? running : kind === "cancel" ? waiting : final);
          if (chosen !== undefined && kind === "finish") {
            running.delete(chosen);
            if (queues.finish(chosen, nowMs)) final.add(chosen);
          }
          if (chosen !== undefined && kind === "cancel") {
            waiting.delete(chosen);
            assert.equal(queues.cancel(chosen, nowMs), true);
          }
          if (chosen !== undefined && kind === "release") {
            final.delete(chosen);
            queues.release(chosen, nowMs);
          }
          const inUse = [...running].reduce((sum, { work }) => sum + work.seats, 0);
          const held = [...final].reduce((sum, { work }) => sum + work.finalSeats, 0);
          assert.equal(queues.seatsInUse, inUse + held);
          assert.equal(queues.running, running.size);
          assert.equal(queues.waiting, waiting.size);
          if (running.size > 1) assert.ok(inUse <= limit, "more seats than the level has");
          if (waiting.size > 0) assert.ok(inUse + held > 0, "somebody waits while nobody runs");
        }
      }),
    );
  });
});
