/**
 * The encoder against bytes worked out by hand from the Go structs' protobuf tags, and against the decoder for every kind:
 * what was encoded and decoded again is, in Go's normal form, what it was.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { allKinds } from "@knarr/api/kinds/index.ts";
import { normalizeStruct } from "@knarr/api/normalize.ts";
import { kindSchema, type StructSchema, structSchema, type TypeSchema } from "@knarr/api/schema.ts";
import { cloneJson } from "@knarr/apimachinery/json.ts";
import { apiVersionOf } from "@knarr/apimachinery/resource.ts";
import type { JsonObject } from "@knarr/apimachinery/schema.ts";
import fc from "fast-check";
import { decodeMessage, openEnvelope } from "./decode.ts";
import { encodeMessage, encodeObject, encodeWatchFrame, protobufSchema } from "./encode.ts";

const meta = (type: string) => structSchema("meta/v1", type);
const core = (type: string) => structSchema("core/v1", type);

/** "0a:'web' 10 01" -> bytes; texts in quotes are UTF-8. */
function bytesOf(text: string): string {
  return text
    .replace(/'([^']*)'/g, (_all, inner: string) => Buffer.from(inner).toString("hex"))
    .replace(/[\s:]/g, "")
    .toLowerCase();
}

/** Nothing set: name, generateName, namespace, selfLink, uid, resourceVersion, generation and creationTimestamp are there. */
const EMPTY_META = "0a00 1200 1a00 2200 2a00 3200 3800 4200";

const golden: { name: string; schema: StructSchema; value: JsonObject; want: string }[] = [
  { name: "no metadata", schema: meta("ObjectMeta"), value: {}, want: EMPTY_META },
  {
    name: "metadata with times, maps out of order, lists and pointers",
    schema: meta("ObjectMeta"),
    value: {
      name: "web",
      generation: 300,
      creationTimestamp: "1970-01-01T00:02:10Z",
      deletionGracePeriodSeconds: 0,
      labels: { b: "2", a: "1" },
      finalizers: ["x", "y"],
      ownerReferences: [{ apiVersion: "v1", kind: "Pod", name: "p", uid: "u", controller: false }],
    },
    want:
      "0a03'web' 1200 1a00 2200 2a00 3200 38ac02 4205:0882011000 5000 " +
      "5a06:0a01'a'1201'1' 5a06:0a01'b'1201'2' " +
      "6a11:0a03'Pod'1a01'p'2201'u'2a02'v1'3000 7201'x' 7201'y'",
  },
  {
    name: "negative and huge integers",
    schema: core("Toleration"),
    value: { key: "k", tolerationSeconds: -1 },
    want: "0a01'k' 1200 1a00 2200 28ffffffffffffffffff01",
  },
  {
    name: "integers that no double holds",
    schema: meta("ObjectMeta"),
    value: { generation: 9223372036854775807n },
    want: "0a00 1200 1a00 2200 2a00 3200 38ffffffffffffffff7f 4200",
  },
  {
    name: "a bool and an int32 that are no pointers",
    schema: core("ContainerPort"),
    value: { containerPort: 8080 },
    want: "0a00 1000 18903f 2200 2a00",
  },
  {
    name: "quantities in a map, and none in an absent one",
    schema: core("ResourceRequirements"),
    value: { limits: { memory: "1Gi", cpu: "100m" } },
    want: "0a0d:0a03'cpu'1206:0a04'100m' 0a0f:0a06'memory'1205:0a03'1Gi'",
  },
  {
    name: "int-or-string as number and as text",
    schema: core("HTTPGetAction"),
    value: { port: 80, path: "/" },
    want: "0a01'/' 1206:080010501a00 1a00 2200",
  },
  {
    name: "int-or-string as text",
    schema: core("TCPSocketAction"),
    value: { port: "http" },
    want: "0a0a:08011000:1a04'http' 1200",
  },
  {
    name: "an embedded struct as a message of its own",
    schema: core("Volume"),
    value: { name: "v", emptyDir: {} },
    want: "0a01'v' 1204:1202:0a00",
  },
  {
    name: "bytes in a map, empty ones too, and a pointer to a bool",
    schema: core("Secret"),
    value: { metadata: {}, data: { k: "AQID", e: "" }, type: "Opaque", immutable: false },
    want: `0a10:${EMPTY_META} 1205:0a01'e'1200 1208:0a01'k'1203:010203 1a06'Opaque' 2800`,
  },
  {
    name: "raw extensions as their JSON",
    schema: structSchema("apps/v1", "ControllerRevision"),
    value: { metadata: {}, data: { a: [1] }, revision: 2 },
    want: `0a10:${EMPTY_META} 120b:0a09'{"a":[1]}' 1802`,
  },
  {
    name: "MicroTime with its microseconds",
    schema: structSchema("coordination/v1", "LeaseSpec"),
    value: { holderIdentity: "h", renewTime: "1970-01-01T00:00:01.000002Z" },
    want: "0a01'h' 2205:080110d00f",
  },
  {
    name: "a list that is a message (ExtraValue)",
    schema: structSchema("authentication/v1", "UserInfo"),
    value: { username: "u", extra: { k: ["a", "b"] } },
    want: "0a01'u' 1200 220b:0a01'k'1206:0a01'a'0a01'b'",
  },
  {
    name: "list metadata with a pointer",
    schema: meta("ListMeta"),
    value: { resourceVersion: "7", remainingItemCount: 3 },
    want: "0a00 1201'7' 1a00 2003",
  },
  {
    name: "lists of numbers unpacked",
    schema: core("PodSecurityContext"),
    value: { supplementalGroups: [1, 300] },
    want: "2001 20ac02",
  },
];

for (const { name, schema, value, want } of golden) {
  test(`encodeMessage() writes ${name} as Go does`, () => {
    assert.equal(encodeMessage(value, schema).toString("hex"), bytesOf(want));
  });
}

test("encodeObject() puts the object into the envelope", () => {
  const status = { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", code: 200 };
  const raw = "0a06:0a0012001a00 1207'Success' 1a00 2200 30c801";
  assert.equal(
    encodeObject(status).toString("hex"),
    bytesOf(`'k8s'00 0a0c:0a02'v1'1206'Status' 1218:${raw} 1a00 2200`),
  );
});

test("encodeWatchFrame() writes four bytes of length and the event without an envelope", () => {
  const frame = encodeWatchFrame("ADDED", Buffer.from("k8s\0"));
  assert.equal(frame.toString("hex"), bytesOf("0000000f 0a05'ADDED' 1206:0a04'k8s'00"));
});

test("protobufSchema() knows meta's kinds in every spelling, and that custom resources have no form", () => {
  assert.equal(protobufSchema("v1", "Status")?.name, "Status");
  assert.equal(protobufSchema("meta.k8s.io/v1", "PartialObjectMetadataList")?.name, "PartialObjectMetadataList");
  assert.equal(protobufSchema("example.com/v1", "Widget"), undefined);
  assert.equal(protobufSchema("meta.k8s.io/v1", "Table"), undefined);
});

/** Values of a type in the form that upstream stores. */
function arbitraryOf(type: TypeSchema, depth: number): fc.Arbitrary<unknown> {
  switch (type.kind) {
    case "boolean":
      return fc.boolean();
    case "int32":
      return fc.integer();
    case "int64":
      return fc.oneof(fc.integer(), fc.maxSafeInteger(), fc.constant(-(2n ** 63n)), fc.constant(2n ** 63n - 1n));
    case "double":
      return fc.double({ noNaN: true, noDefaultInfinity: true }).filter((value) => !Object.is(value, -0));
    case "bytes":
      return fc.uint8Array({ maxLength: 8 }).map((bytes) => Buffer.from(bytes).toString("base64"));
    case "string":
      return fc.string({ unit: "grapheme", maxLength: 12 });
    case "time":
      return fc
        .integer({ min: -10_000, max: 4_000_000_000 })
        .map((s) => new Date(s * 1000).toISOString().replace(".000", ""));
    case "microTime":
      return fc
        .tuple(fc.integer({ min: 0, max: 4_000_000_000 }), fc.integer({ min: 0, max: 999_999 }))
        .map(([s, us]) => new Date(s * 1000).toISOString().replace(".000Z", `.${String(us).padStart(6, "0")}Z`));
    case "duration":
      return fc.constantFrom("0s", "1m30s", "1h0m0s");
    case "quantity":
      return fc.constantFrom("0", "1", "100m", "750Mi", "-5", "1e3");
    case "intOrString":
      return fc.oneof(fc.integer(), fc.string({ maxLength: 5 }));
    case "raw":
    case "fieldsV1":
    case "any":
      return fc.dictionary(fc.stringMatching(/^f:[a-z]{1,4}$/), fc.constantFrom({}, { ".": {} }));
    case "struct":
      return arbitraryStruct(type.struct, depth - 1);
    // Empty lists and maps have no form in protobuf.
    case "list":
      return fc.array(arbitraryOf(type.items, depth - 1), { minLength: 1, maxLength: 2 });
    case "map": {
      const key = fc.string({ unit: "grapheme", maxLength: 4 });
      return fc.dictionary(key, arbitraryOf(type.values, depth - 1), { minKeys: 1, maxKeys: 2 });
    }
    default:
      throw new TypeError(`unknown type ${type satisfies never}`);
  }
}

function arbitraryStruct(schema: StructSchema, depth: number): fc.Arbitrary<JsonObject> {
  const members: Record<string, fc.Arbitrary<unknown>> = {};
  for (const field of schema.fields.values()) {
    if (field.number === 0 && field.embeddedIn === undefined) continue;
    if (depth <= 0 && !["string", "boolean", "int32", "int64"].includes(field.type.kind)) continue;
    members[field.name] = arbitraryOf(field.type, depth);
  }
  return fc.record(members, { requiredKeys: [] }) as fc.Arbitrary<JsonObject>;
}

for (const { ref } of allKinds) {
  const type = { apiVersion: apiVersionOf(ref), kind: ref.kind };
  test(`encodeObject() of ${type.apiVersion} ${type.kind} is read back by decodeMessage()`, () => {
    const schema = kindSchema(ref.group, ref.version, ref.kind);
    assert.ok(schema);
    fc.assert(
      fc.property(arbitraryStruct(schema, 5), (value) => {
        const object = { ...type, ...cloneJson(value) };
        const envelope = openEnvelope(encodeObject(object));
        assert.deepEqual({ apiVersion: envelope.apiVersion, kind: envelope.kind }, type);
        const back = { ...type, ...decodeMessage(envelope.raw, schema) };
        normalizeStruct(back, schema);
        normalizeStruct(object, schema);
        assert.deepEqual(back, object);
      }),
      { numRuns: 15 },
    );
  });
}
