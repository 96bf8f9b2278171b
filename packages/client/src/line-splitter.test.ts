import assert from "node:assert/strict";
import { test } from "node:test";
import { LineSplitter } from "./line-splitter.ts";

const rows: { name: string; chunks: string[]; want: string[]; pending: number }[] = [
  { name: "one whole line", chunks: ["abc\n"], want: ["abc"], pending: 0 },
  { name: "a line over three chunks", chunks: ["a", "b", "c\n"], want: ["abc"], pending: 0 },
  { name: "several lines in one chunk", chunks: ["a\nb\n\nc"], want: ["a", "b"], pending: 1 },
  { name: "a newline alone in a chunk", chunks: ["abc", "\n", "d\n"], want: ["abc", "d"], pending: 0 },
  { name: "a character cut in the middle", chunks: ["\xc3", "\xa9\n"], want: ["\xc3\xa9"], pending: 0 },
  { name: "nothing", chunks: [""], want: [], pending: 0 },
];
for (const { name, chunks, want, pending } of rows) {
  test(`LineSplitter.push() joins and cuts when given ${name}`, () => {
    const splitter = new LineSplitter();
    const lines = chunks.flatMap((chunk) => splitter.push(Buffer.from(chunk, "latin1")));
    assert.deepEqual(
      lines.map((line) => line.toString("latin1")),
      want,
    );
    assert.equal(splitter.pendingBytes, pending);
  });
}

test("LineSplitter.push() throws when a line passes the limit", () => {
  const splitter = new LineSplitter(10);
  splitter.push(Buffer.alloc(8, 65));
  assert.throws(() => splitter.push(Buffer.alloc(8, 65)), RangeError);
});

test("LineSplitter.push() stays linear when a line comes in many chunks", () => {
  const splitter = new LineSplitter();
  const chunk = Buffer.alloc(1024, 65);
  for (let i = 0; i < 20_000; i++) assert.equal(splitter.push(chunk).length, 0);
  assert.equal(splitter.push(Buffer.from("\n"))[0]?.length, 20_000 * 1024);
});
