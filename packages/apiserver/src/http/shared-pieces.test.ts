import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { SharedPieces } from "./shared-pieces.ts";

const [a, b] = [Buffer.from('{"a":1}\n'), Buffer.from('{"b":2}\n')];

function pieces() {
  const ends: (() => void)[] = [];
  return { shared: new SharedPieces((forget) => void ends.push(forget)), ends };
}

describe("SharedPieces", () => {
  it("of() is the frame itself when there is nothing to add to it", () => {
    const { shared, ends } = pieces();
    assert.equal(shared.of([a], false), a);
    assert.equal(ends.length, 0);
  });

  it("of() puts frames together, with a chunk's length and line end around them where asked for", () => {
    const { shared } = pieces();
    assert.equal(shared.of([a, b], false).toString(), '{"a":1}\n{"b":2}\n');
    assert.equal(shared.of([a, b], true).toString(), '10\r\n{"a":1}\n{"b":2}\n\r\n');
    assert.equal(shared.of([b], true).toString(), '8\r\n{"b":2}\n\r\n');
  });

  it("of() makes the same piece once until the turn is over", () => {
    const { shared, ends } = pieces();
    const first = shared.of([a, b], true);
    assert.equal(shared.of([a, b], true), first);
    assert.notEqual(shared.of([a], true), first);
    assert.equal(ends.length, 1);
    const last = shared.of([a, b], true);
    ends.shift()?.();
    assert.notEqual(shared.of([a, b], true), last);
  });

  it("of() never takes other frames for the same ones", () => {
    const { shared } = pieces();
    const copies = [Buffer.from("x\n"), Buffer.from("x\n")] as const;
    const first = shared.of([copies[0]], true);
    assert.notEqual(shared.of([copies[1]], true), first);
    assert.equal(shared.of([copies[1], a], true).toString(), 'a\r\nx\n{"a":1}\n\r\n');
  });
});
