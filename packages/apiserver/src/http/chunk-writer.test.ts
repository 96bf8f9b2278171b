import assert from "node:assert/strict";
import { Writable } from "node:stream";
import { test } from "node:test";
import fc from "fast-check";
import { ChunkWriter } from "./chunk-writer.ts";
import type { RequestContext } from "./request-context.ts";

/** A client that keeps what it gets, one turn of the event loop after it got it: what it was given must not change meanwhile. */
class SlowClient extends Writable {
  readonly got: Buffer[] = [];

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    setImmediate(() => {
      this.got.push(Buffer.from(chunk));
      done();
    });
  }
}

function writerTo(client: Writable, signal: AbortSignal) {
  const starts: { firstBytes: number; isWhole: boolean }[] = [];
  const context = { response: client, method: "GET", signal } as unknown as RequestContext;
  const writer = new ChunkWriter(context, (firstBytes, isWhole) => {
    starts.push({ firstBytes, isWhole });
    return client;
  });
  return { writer, starts };
}

const ended = (client: Writable) => new Promise<void>((resolve) => void client.once("finish", () => resolve()));

test("put() and putAll() bring every byte in order, whatever the sizes, to two clients at once", async () => {
  const sizes = fc.array(fc.oneof(fc.nat(4_000), fc.integer({ min: 200_000, max: 300_000 })), { maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(sizes, sizes, async (...both) => {
      await Promise.all(
        both.map(async (lengths, index) => {
          const pieces = lengths.map((length, i) => Buffer.alloc(length, (index * 64 + i) % 256));
          const client = new SlowClient();
          const { writer } = writerTo(client, new AbortController().signal);
          const done = ended(client);
          for (const piece of pieces) assert.equal(writer.put(piece) || (await writer.putAll(piece)), true);
          await writer.end();
          await done;
          assert.ok(Buffer.concat(client.got).equals(Buffer.concat(pieces)));
        }),
      );
    }),
    { numRuns: 40 },
  );
});

test("end() tells that the answer is whole when everything fits into one chunk", async () => {
  const client = new SlowClient();
  const { writer, starts } = writerTo(client, new AbortController().signal);
  writer.put(Buffer.from("abc"));
  const done = ended(client);
  await writer.end();
  await done;
  assert.deepEqual(starts, [{ firstBytes: 3, isWhole: true }]);
});

test("putAll() is false once the client is gone", async () => {
  const gone = new AbortController();
  const stuck = new Writable({ write: () => undefined });
  const { writer } = writerTo(stuck, gone.signal);
  const piece = Buffer.alloc(200_000);
  assert.equal(await writer.putAll(piece), true);
  assert.equal(await writer.putAll(piece), true);
  const waiting = writer.putAll(piece);
  gone.abort();
  assert.equal(await waiting, false);
});
