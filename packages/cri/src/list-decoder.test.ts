import assert from "node:assert/strict";
import test from "node:test";
import { fileURLToPath } from "node:url";
import { loadSync, type ServiceDefinition } from "@grpc/proto-loader";
import fc from "fast-check";
import { rememberingDecoder } from "./list-decoder.ts";

interface Item {
  readonly id: string;
  readonly state?: string;
  readonly labels?: Record<string, string>;
  readonly annotations?: Record<string, string>;
  readonly runtimeHandler?: string;
}

const path = fileURLToPath(new URL("./generated/runtime-v1.proto", import.meta.url));
const definition = loadSync(path, { longs: String, enums: String, defaults: true, oneofs: false });
const { responseSerialize, responseDeserialize } = (definition["runtime.v1.RuntimeService"] as ServiceDefinition)
  .ListPodSandbox as ServiceDefinition[string];
const whole = (bytes: Buffer) => (responseDeserialize(bytes) as { items: Item[] }).items;
const bytesOf = (items: readonly Item[]) => responseSerialize({ items });

function decoder(): { decode: (items: readonly Item[]) => Item[]; decoded: () => number } {
  let count = 0;
  const decode = rememberingDecoder(
    (bytes) => {
      const items = whole(bytes);
      count += items.length;
      return items;
    },
    { mapFields: new Set([5, 6]) },
  );
  return { decode: (items) => decode(bytesOf(items)), decoded: () => count };
}

const READY: Item = { id: "a", state: "SANDBOX_READY", labels: { x: "1", y: "2" }, runtimeHandler: "runc" };
const OTHER: Item = { ...READY, id: "b" };

test("rememberingDecoder() decodes an item once, in whatever order the list and its maps come", () => {
  const { decode, decoded } = decoder();
  const [first] = decode([READY, OTHER]);
  const again = decode([OTHER, { ...READY, labels: { y: "2", x: "1" } }]);
  assert.equal(again[1], first);
  assert.equal(decoded(), 2);
});

for (const { name, next } of [
  { name: "another state", next: { ...READY, state: "SANDBOX_NOTREADY" } },
  { name: "another handler behind the maps", next: { ...READY, runtimeHandler: "runx" } },
  { name: "a label more", next: { ...READY, labels: { x: "1", y: "2", z: "" } } },
]) {
  test(`rememberingDecoder() tells what changed: ${name}`, () => {
    const { decode } = decoder();
    decode([READY]);
    assert.deepEqual(decode([next]), whole(bytesOf([next])));
  });
}

test("rememberingDecoder() forgets what is listed no more", () => {
  const { decode, decoded } = decoder();
  decode([READY]);
  for (let i = 0; i < 128; i++) decode([OTHER]);
  decode([READY]);
  assert.equal(decoded(), 3);
});

test("rememberingDecoder() gives what a plain decoder gives, whatever the bytes", () => {
  const map = fc.dictionary(fc.string({ maxLength: 4 }), fc.string({ maxLength: 4 }), { maxKeys: 3 });
  const items = fc.array(
    fc.record({
      id: fc.string(),
      state: fc.constantFrom("SANDBOX_READY", "SANDBOX_NOTREADY"),
      labels: map,
      annotations: map,
      runtimeHandler: fc.string({ unit: "binary" }),
    }),
    { maxLength: 4 },
  );
  const outcome = (run: () => unknown): unknown => {
    try {
      return run();
    } catch {
      return "refused";
    }
  };
  fc.assert(
    fc.property(items, fc.nat(), fc.nat(255), (list, at, value) => {
      const decode = rememberingDecoder(whole, { mapFields: new Set([5, 6]) });
      const good = bytesOf(list);
      assert.deepEqual(decode(good), whole(good));
      assert.deepEqual(decode(good), whole(good));
      const broken = Buffer.from(good);
      if (broken.length > 0) broken[at % broken.length] = value;
      // Bytes in a map's place are told apart by their number only.
      const fresh = rememberingDecoder(whole, { mapFields: new Set([5, 6]) });
      assert.deepEqual(
        outcome(() => fresh(broken)),
        outcome(() => whole(broken)),
      );
    }),
    { numRuns: 50 },
  );
});
