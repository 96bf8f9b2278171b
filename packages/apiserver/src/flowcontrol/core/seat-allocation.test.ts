import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { currentSeats, nominalSeats } from "./seat-allocation.ts";

const shares = (amount: number, lendablePercent = 0, borrowingLimitPercent?: number) => ({
  shares: amount,
  lendablePercent,
  borrowingLimitPercent,
});

test("nominalSeats() divides by shares, upstream's defaults", () => {
  const seats = nominalSeats(
    600,
    new Map([
      ["system", shares(30, 33)],
      ["workload-low", shares(100, 90)],
      ["rest", shares(115)],
      ["exempt", shares(0)],
    ]),
  );
  assert.deepEqual(seats.get("system"), { nominal: 74, min: 50, max: 600 });
  assert.deepEqual(seats.get("workload-low"), { nominal: 245, min: 24, max: 600 });
  assert.deepEqual(seats.get("exempt")?.nominal, 0);
});

test("nominalSeats() limits borrowing when asked to", () => {
  assert.equal(
    nominalSeats(
      100,
      new Map([
        ["a", shares(50, 0, 10)],
        ["b", shares(50)],
      ]),
    ).get("a")?.max,
    55,
  );
});

test("currentSeats() lends what idle levels do not need to the one that does", () => {
  const idle = { nominal: 50, min: 10, max: 100, high: 0, smoothed: 0 };
  const seats = currentSeats(
    100,
    new Map([
      ["idle", idle],
      ["busy", { nominal: 50, min: 10, max: 100, high: 300, smoothed: 300 }],
    ]),
  );
  assert.ok((seats.get("busy") ?? 0) >= 80, `busy got ${seats.get("busy")}`);
  assert.ok((seats.get("idle") ?? 0) >= 10);
});

test("currentSeats() never goes below a level's minimum, and needs are met up to the nominal seats", () => {
  const level = fc.record({
    nominal: fc.integer({ min: 1, max: 100 }),
    lend: fc.integer({ min: 0, max: 100 }),
    high: fc.integer({ min: 0, max: 500 }),
    smoothed: fc.integer({ min: 0, max: 500 }),
  });
  fc.assert(
    fc.property(fc.array(level, { minLength: 1, maxLength: 8 }), (levels) => {
      const total = levels.reduce((sum, { nominal }) => sum + nominal, 0);
      const demand = new Map(
        levels.map(({ nominal, lend, high, smoothed }, i) => [
          `l${i}`,
          { nominal, min: nominal - Math.round((nominal * lend) / 100), max: total, high, smoothed },
        ]),
      );
      const seats = currentSeats(total, demand);
      for (const [name, { nominal, min, high }] of demand) {
        assert.ok((seats.get(name) ?? 0) >= Math.max(1, min) - 0.5);
        assert.ok((seats.get(name) ?? 0) >= Math.min(nominal, high) - 0.5);
      }
      const sum = [...seats.values()].reduce((a, b) => a + b, 0);
      assert.ok(sum <= total + levels.length, `${sum} of ${total}`);
    }),
  );
});
