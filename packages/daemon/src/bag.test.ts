import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Bag, type Slot } from "./bag.ts";

test("Bag holds what was added and not removed, as a Set would", () => {
  const steps = fc.array(fc.record({ add: fc.boolean(), pick: fc.nat() }), { maxLength: 200 });
  fc.assert(
    fc.property(steps, (all) => {
      const bag = new Bag<number>();
      const want = new Map<number, Slot<number>>();
      const gone: Slot<number>[] = [];
      for (const [i, { add, pick }] of all.entries()) {
        const there = [...want.keys()];
        if (add || there.length === 0) {
          want.set(i, bag.add(i));
          continue;
        }
        const member = there[pick % there.length] ?? -1;
        const slot = want.get(member) as Slot<number>;
        assert.equal(bag.remove(slot), true);
        want.delete(member);
        gone.push(slot);
      }
      for (const slot of gone) assert.equal(bag.remove(slot), false);
      assert.equal(bag.size, want.size);
      assert.deepEqual(
        [...bag].sort((a, b) => a - b),
        [...want.keys()],
      );
    }),
  );
});

test("Bag's iterator passes over members that are removed meanwhile, and those that come later", () => {
  const bag = new Bag<string>();
  const slots = ["a", "b", "c"].map((name) => bag.add(name));
  const seen: string[] = [];
  for (const member of bag) {
    seen.push(member);
    if (member !== "a") continue;
    bag.remove(slots[1] as Slot<string>);
    bag.add("d");
  }
  assert.deepEqual(seen, ["a", "c"]);
  assert.deepEqual([...bag].sort(), ["a", "c", "d"]);
});

test("take() removes what it returns, and nothing else", () => {
  const bag = new Bag<number>();
  const slots = [1, 2, 3, 4].map((n) => bag.add(n));
  assert.deepEqual(
    bag.take((n) => n % 2 === 0),
    [2, 4],
  );
  assert.equal(bag.remove(slots[1] as Slot<number>), false);
  assert.deepEqual([...bag].sort(), [1, 3]);
});
