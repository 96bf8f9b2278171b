import assert from "node:assert/strict";
import { duplexPair, type Readable } from "node:stream";
import test from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { constants, deflateSync } from "node:zlib";
import { SPDY_DICTIONARY } from "./dictionary.ts";
import { controlFrame, dataFrame, FrameType, headerBlock, parseHeaderBlock } from "./frames.ts";
import { SpdyClient } from "./spdy-client.ts";
import { SpdyServer } from "./spdy-server.ts";

/** What comes until the other side's end; iterating would destroy the stream, whose own side may be open. */
function text(stream: Readable): Promise<string> {
  const parts: Buffer[] = [];
  stream.on("data", (part: Buffer) => parts.push(part));
  return new Promise((resolve) => {
    for (const event of ["end", "close"]) stream.once(event, () => resolve(Buffer.concat(parts).toString()));
  });
}

function pair(onStream: ConstructorParameters<typeof SpdyServer>[2]) {
  const [near, far] = duplexPair();
  return {
    near,
    client: new SpdyClient(near, Buffer.alloc(0)),
    server: new SpdyServer(far, Buffer.alloc(0), onStream),
  };
}

test("parseHeaderBlock() reads what headerBlock() wrote, and refuses a block that is cut short", () => {
  const block = headerBlock({ StreamType: "data", port: "80" });
  assert.deepEqual(
    [...parseHeaderBlock(block)],
    [
      ["streamtype", "data"],
      ["port", "80"],
    ],
  );
  for (let length = 0; length < block.length; length++) {
    assert.throws(() => parseHeaderBlock(block.subarray(0, length)), RangeError);
  }
});

test("SpdyServer gives each stream its headers, and both directions of it half-close on their own", async () => {
  const { client, server } = pair(async (headers, stream) => {
    const got = await text(stream);
    stream.end(`${headers.get("streamtype")}: ${got}`);
  });
  const [one, two] = [await client.openStream({ streamtype: "one" }), await client.openStream({ streamtype: "two" })];
  two.end("b");
  assert.equal(await text(two), "two: b");
  one.end("a".repeat(100_000));
  assert.equal(await text(one), `one: ${"a".repeat(100_000)}`);
  client.destroy();
  server.destroy();
  await server.closed;
});

test("SpdyServer ends its streams when the connection breaks, even while nobody reads one", async () => {
  const { promise: opened, resolve } = Promise.withResolvers<Readable>();
  const { near, client, server } = pair((_, stream) => resolve(stream));
  const stream = await client.openStream({ streamtype: "stdin" });
  stream.on("error", () => undefined);
  stream.write("x".repeat(1_000_000));
  const served = await opened;
  near.destroy();
  server.destroy();
  await server.closed;
  assert.equal((await text(served)).length <= 1_000_000, true);
});

for (const how of ["read to its end", "destroyed"]) {
  test(`SpdyClient goes on with the other streams when a full one was ${how}`, { timeout: 10_000 }, async () => {
    const [near, far] = duplexPair();
    far.resume();
    const client = new SpdyClient(near, Buffer.alloc(0));
    const [one, two] = [await client.openStream({}), await client.openStream({})];
    const verdict = text(two);
    await turn();
    // One piece fills the first stream and ends it; nothing will ever ask it for more.
    far.write(Buffer.concat([dataFrame(1, Buffer.alloc(200_000, "x")), dataFrame(1, Buffer.alloc(0), true)]));
    far.write(dataFrame(3, Buffer.from("verdict"), true));
    await turn();
    if (how === "destroyed") one.destroy();
    else assert.equal((await text(one)).length, 200_000);
    assert.equal(await verdict, "verdict");
    client.destroy();
  });
}

for (const { name, frame } of [
  { name: "headers that are no zlib stream", frame: syn(1, Buffer.from("not compressed")) },
  { name: "headers that unpack to far more than they are", frame: syn(1, bomb()) },
  { name: "a header longer than its block", frame: syn(1, compress(Buffer.from([0, 0, 0, 1, 0, 0, 255, 0]))) },
]) {
  test(`SpdyServer drops a connection that sends ${name}`, async () => {
    const [near, far] = duplexPair();
    const server = new SpdyServer(far, Buffer.alloc(0), () => assert.fail("no stream was opened"));
    near.resume();
    near.on("error", () => undefined);
    near.write(frame);
    await server.closed;
    assert.equal(far.destroyed, true);
  });
}

function compress(block: Buffer): Buffer {
  return deflateSync(block, { dictionary: SPDY_DICTIONARY, finishFlush: constants.Z_SYNC_FLUSH });
}

function bomb(): Buffer {
  return compress(Buffer.alloc(4_000_000));
}

function syn(id: number, block: Buffer): Buffer {
  const head = Buffer.alloc(10);
  head.writeUInt32BE(id, 0);
  return controlFrame(FrameType.synStream, 0, Buffer.concat([head, block]));
}
