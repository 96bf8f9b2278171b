import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32 } from "node:zlib";
import fc from "fast-check";
import { ClaimBook, ClaimBookError, type PreparedDevice } from "./claim-book.ts";

const ref = { namespace: "ns", name: "gpu", uid: "u" };
const device = (deviceName: string, requestNames: string[], cdiDeviceIds: string[]): PreparedDevice => ({
  ...{ poolName: "pool", deviceName, requestNames, cdiDeviceIds },
});

function bookWith(devices: readonly PreparedDevice[]): ClaimBook {
  const book = new ClaimBook();
  const claim = book.enter(ref, ["gpu.example"]);
  claim.podUids.add("pod-1");
  claim.drivers.set("gpu.example", devices);
  return book;
}

test("ClaimBook.cdiDevices() gives what belongs to the request, and what belongs to every request", () => {
  const book = bookWith([
    device("d0", ["r0"], ["v.com/c=0", "v.com/c=common"]),
    device("d1", ["r1"], ["v.com/c=1"]),
    device("d2", [], ["v.com/c=2"]),
  ]);
  assert.deepEqual(book.cdiDevices(ref, "r0"), ["v.com/c=0", "v.com/c=common", "v.com/c=2"]);
  assert.deepEqual(book.cdiDevices(ref, "r1"), ["v.com/c=1", "v.com/c=2"]);
  assert.deepEqual(book.cdiDevices(ref, ""), ["v.com/c=0", "v.com/c=common", "v.com/c=1", "v.com/c=2"]);
  assert.deepEqual(book.cdiDevices({ ...ref, name: "other" }, ""), []);
});

test("ClaimBook.enter() keeps the entry that is there", () => {
  const book = bookWith([]);
  assert.equal(book.enter({ ...ref, uid: "newer" }, []).uid, "u");
  assert.deepEqual([...book.podUids()], ["pod-1"]);
  book.delete(ref);
  assert.equal(book.get(ref), undefined);
});

/** The form that upstream's kubelet writes, field for field; the checksum is CRC-32 (IEEE) of Data. */
const WRITTEN = {
  Data: '{"kind":"DRACheckpoint","apiVersion":"checkpoint.dra.kubelet.k8s.io/v1","Entries":[{"ClaimUID":"u","ClaimName":"gpu","Namespace":"ns","PodUIDs":{"pod-1":{}},"DriverState":{"gpu.example":{"Devices":[{"PoolName":"pool","DeviceName":"d0","RequestNames":["r0"],"CDIDeviceIDs":["v.com/c=0"]}]}}}]}',
  Checksum: 943_475_843,
};

test("ClaimBook.toText() writes upstream's form, and fromText() reads it", () => {
  assert.deepEqual(JSON.parse(bookWith([device("d0", ["r0"], ["v.com/c=0"])]).toText()), WRITTEN);
  const book = ClaimBook.fromText(JSON.stringify(WRITTEN));
  assert.deepEqual(book.cdiDevices(ref, "r0"), ["v.com/c=0"]);
  assert.equal(book.get(ref)?.isPrepared, false);
});

test("ClaimBook.fromText() reads Go's null for what there is none of", () => {
  const Data = WRITTEN.Data.replace('["r0"]', "null").replace('["v.com/c=0"]', "null").replace('{"pod-1":{}}', "null");
  const book = ClaimBook.fromText(JSON.stringify({ Data, Checksum: crc32(Data) }));
  assert.deepEqual(book.get(ref)?.drivers.get("gpu.example"), [device("d0", [], [])]);
  assert.equal(book.podUids().size, 0);
});

for (const [what, text] of [
  ["no JSON", "{"],
  ["no checkpoint", "{}"],
  ["another checksum", JSON.stringify({ ...WRITTEN, Checksum: 1 })],
  ["other data", JSON.stringify({ ...WRITTEN, Data: WRITTEN.Data.replace("pod-1", "pod-2") })],
] as const) {
  test(`ClaimBook.fromText() refuses ${what}`, () => {
    assert.throws(() => ClaimBook.fromText(text), ClaimBookError);
  });
}

test("ClaimBook.fromText(toText()) is the book", () => {
  const names = fc.array(fc.string({ unit: "grapheme" }), { maxLength: 3 });
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.string(), names, names), { maxLength: 4 }), (devices) => {
      const book = bookWith(devices.map(([name, requests, ids]) => device(name, requests, ids)));
      const read = ClaimBook.fromText(book.toText());
      assert.deepEqual(read.get(ref), book.get(ref));
    }),
  );
});
