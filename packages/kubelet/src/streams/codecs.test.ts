import assert from "node:assert/strict";
import { Duplex } from "node:stream";
import test from "node:test";
import { constants, createInflate } from "node:zlib";
import { SPDY_DICTIONARY } from "@knarr/cri/spdy/dictionary.ts";
import { controlFrame, dataFrame, type Frame, FrameParser, FrameType, headerBlock } from "@knarr/cri/spdy/frames.ts";
import { SpdyClient } from "@knarr/cri/spdy/spdy-client.ts";
import fc from "fast-check";
import { chooseProtocol, decodeChannel, EXEC_PROTOCOLS, encodeChannel, formatOf } from "./web-socket-channels.ts";

test("FrameParser finds the same frames however the bytes are cut", () => {
  const frames = fc.array(
    fc.oneof(
      fc.record({
        id: fc.integer({ min: 1, max: 0x7fff_ffff }),
        data: fc.uint8Array({ maxLength: 50 }),
        fin: fc.boolean(),
      }),
      fc.record({ type: fc.integer({ min: 1, max: 9 }), data: fc.uint8Array({ maxLength: 50 }) }),
    ),
    { maxLength: 8 },
  );
  fc.assert(
    fc.property(frames, fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }), (wanted, cuts) => {
      const bytes = Buffer.concat(
        wanted.map((f) =>
          "id" in f ? dataFrame(f.id, Buffer.from(f.data), f.fin) : controlFrame(f.type, 0, Buffer.from(f.data)),
        ),
      );
      const parser = new FrameParser();
      const got: Frame[] = [];
      for (let at = 0, i = 0; at < bytes.length; i++) {
        const size = cuts[i % cuts.length] ?? 1;
        got.push(...parser.push(bytes.subarray(at, at + size)));
        at += size;
      }
      assert.deepEqual(
        got.map((f) =>
          f.kind === "data" ? [f.streamId, f.fin, f.data.toString("hex")] : [f.type, f.payload.toString("hex")],
        ),
        wanted.map((f) =>
          "id" in f
            ? [f.id, f.fin, Buffer.from(f.data).toString("hex")]
            : [f.type, Buffer.from(f.data).toString("hex")],
        ),
      );
    }),
  );
});

test("SpdyClient compresses every stream's headers into one zlib stream, in the order of the calls", async () => {
  const sent: Buffer[] = [];
  const socket = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      sent.push(chunk);
      done();
    },
  });
  const client = new SpdyClient(socket, Buffer.alloc(0));
  const streams = await Promise.all(
    ["error", "stdin", "stdout"].map((streamtype) => client.openStream({ streamtype })),
  );
  assert.deepEqual(
    streams.map((s) => s.id),
    [1, 3, 5],
  );
  const inflate = createInflate({ dictionary: SPDY_DICTIONARY, finishFlush: constants.Z_SYNC_FLUSH });
  const plain: Buffer[] = [];
  inflate.on("data", (part: Buffer) => plain.push(part));
  for (const frame of new FrameParser().push(Buffer.concat(sent))) {
    assert.ok(frame.kind === "control" && frame.type === FrameType.synStream);
    inflate.write(frame.payload.subarray(10));
  }
  await new Promise<void>((resolve) => inflate.flush(() => resolve()));
  const wanted = ["error", "stdin", "stdout"].map((streamtype) => headerBlock({ streamtype }));
  assert.equal(Buffer.concat(plain).toString("hex"), Buffer.concat(wanted).toString("hex"));
  client.destroy();
});

for (const protocol of EXEC_PROTOCOLS) {
  test(`encodeChannel() and decodeChannel() of ${protocol} are each other's inverse`, () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 4 }), fc.uint8Array(), (channel, data) => {
        const format = formatOf(protocol);
        const back = decodeChannel(format, Buffer.from(encodeChannel(format, channel, Buffer.from(data))));
        assert.deepEqual(back, { channel, data: Buffer.from(data) });
      }),
    );
  });
}

test("chooseProtocol() takes our best, the oldest for clients that name none, and nothing for strangers", () => {
  assert.equal(chooseProtocol(["channel.k8s.io", "v4.channel.k8s.io"], EXEC_PROTOCOLS), "v4.channel.k8s.io");
  assert.equal(chooseProtocol([], EXEC_PROTOCOLS), "");
  assert.equal(chooseProtocol(["v9.channel.k8s.io"], EXEC_PROTOCOLS), undefined);
});
