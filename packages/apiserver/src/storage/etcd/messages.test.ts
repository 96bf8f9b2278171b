import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { MessageReader } from "./message-reader.ts";
import { decodeLeaseGrant, decodeRange, encodeRange, encodeTransaction, encodeWatchProgress } from "./messages.ts";
import { ProtoReader } from "./proto-reader.ts";
import { ProtoWriter } from "./proto-writer.ts";
import { errorOfStatus } from "./status.ts";

/** Without the five bytes before every gRPC message. */
const messageOf = (framed: Buffer) => {
  assert.equal(framed[0], 0);
  assert.equal(framed.readUInt32BE(1), framed.length - 5);
  return framed.subarray(5);
};

// Written by hand from protobuf.dev/programming-guides/encoding.
const encodings = [
  {
    name: "encodeRange() of one key",
    framed: encodeRange({ key: Buffer.from("a") }),
    want: "0a0161",
  },
  {
    name: "encodeRange() with everything",
    framed: encodeRange({ key: Buffer.from("a"), end: Buffer.from("b"), limit: 500, revision: 300, keysOnly: true }),
    want: "0a0161120162" + "18f403" + "20ac02" + "4001",
  },
  {
    name: "encodeTransaction() of a create",
    framed: encodeTransaction(Buffer.from("k"), 0, { kind: "put", value: Buffer.from("v") }),
    want:
      "0a07" + "1002" + "1a016b" + "3000" + "1208" + "1206" + "0a016b" + "120176" + "1a07" + "0a05" + "0a016b" + "4001",
  },
  {
    name: "encodeTransaction() of a guarded delete",
    framed: encodeTransaction(Buffer.from("k"), 7, { kind: "delete" }),
    want: "0a07" + "1002" + "1a016b" + "3007" + "1205" + "1a03" + "0a016b" + "1a05" + "0a03" + "0a016b",
  },
  { name: "encodeWatchProgress()", framed: encodeWatchProgress(), want: "1a00" },
];
for (const { name, framed, want } of encodings) {
  test(`${name} is what the wire format says`, () => assert.equal(messageOf(framed).toString("hex"), want));
}

test("decodeRange() reads keys, values, leases and the revision, and skips what it does not know", () => {
  const writer = new ProtoWriter(200);
  writer.bytes(99, Buffer.from("of a later version"));
  writer.int(4, 12);
  writer.bool(3, true);
  const item = writer.at;
  writer.int64(6, "-2");
  writer.bytes(5, Buffer.from("value"));
  writer.int(3, 2 ** 40);
  writer.int(2, 7);
  writer.bytes(1, Buffer.from("ä"));
  writer.wrap(2, item);
  const header = writer.at;
  writer.int(4, 1);
  writer.int(3, 2 ** 52);
  writer.wrap(1, header);
  assert.deepEqual(decodeRange(messageOf(writer.finish())), {
    items: [{ key: "ä", value: Buffer.from("value"), modRevision: 2 ** 40, createRevision: 7, leaseId: "-2" }],
    count: 12,
    more: true,
    revision: 2 ** 52,
  });
});

test("decodeLeaseGrant() keeps all 64 bits of the id", () => {
  const writer = new ProtoWriter(50);
  writer.int64(2, "7587891021337297922");
  assert.equal(decodeLeaseGrant(messageOf(writer.finish())), "7587891021337297922");
});

test("ProtoReader reads back every number that ProtoWriter writes", () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (small, large) => {
      const writer = new ProtoWriter(40);
      writer.int64(2, String(large));
      writer.int(1, small);
      const reader = new ProtoReader(messageOf(writer.finish()));
      assert.equal(reader.next(), 1);
      assert.equal(reader.int(), small);
      assert.equal(reader.next(), 2);
      assert.equal(reader.int64(), String(large));
      assert.equal(reader.next(), 0);
    }),
  );
});

for (const hex of ["0a05", "0aff", "0b", "08ff"]) {
  test(`decodeRange() throws when the message is cut off or broken (${hex})`, () => {
    assert.throws(() => decodeRange(Buffer.from(hex, "hex")), { name: "ProtoError" });
  });
}

test("MessageReader gives whole messages, however the bytes are cut", () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 6 }),
      fc.array(fc.nat(20), { minLength: 1, maxLength: 30 }),
      (messages, cuts) => {
        const all = Buffer.concat(
          messages.map((message) => {
            const header = Buffer.alloc(5);
            header.writeUInt32BE(message.length, 1);
            return Buffer.concat([header, message]);
          }),
        );
        const got: string[] = [];
        const reader = new MessageReader((message) => got.push(message.toString("hex")));
        for (let at = 0, i = 0; at < all.length; i++) {
          const size = (cuts[i % cuts.length] ?? 0) + 1;
          reader.push(all.subarray(at, at + size));
          at += size;
        }
        assert.deepEqual(
          got,
          messages.map((message) => Buffer.from(message).toString("hex")),
        );
      },
    ),
  );
});

const statuses = [
  { headers: { ":status": 200 }, want: undefined },
  { headers: { "grpc-status": "0" }, want: undefined },
  { headers: { ":status": 503 }, want: "unavailable" },
  { headers: { "grpc-status": "14", "grpc-message": "etcdserver: no leader" }, want: "unreachable" },
  { headers: { "grpc-status": "14", "grpc-message": "etcdserver: request timed out" }, want: "timeout" },
  { headers: { "grpc-status": "14", "grpc-message": "etcdserver: leader changed" }, want: "unavailable" },
  { headers: { "grpc-status": "8", "grpc-message": "etcdserver: mvcc: database space exceeded" }, want: "no-space" },
  { headers: { "grpc-status": "8", "grpc-message": "etcdserver: too many requests" }, want: "too-many-requests" },
  { headers: { "grpc-status": "3", "grpc-message": "etcdserver: request is too large" }, want: "too-large" },
  { headers: { "grpc-status": "2", "grpc-message": "50% of nothing" }, want: "internal" },
];
for (const { headers, want } of statuses) {
  test(`errorOfStatus() is ${want} for ${JSON.stringify(headers)}`, () => {
    assert.equal(errorOfStatus(headers)?.code, want);
  });
}
