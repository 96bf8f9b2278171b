import assert from "node:assert/strict";
import { test } from "node:test";
import { applyJsonPatch } from "./json-patch.ts";
import { applyMergePatch } from "./merge-patch.ts";
import { PatchError } from "./patch-error.ts";
import type { FieldSchema, StructSchema, TypeSchema } from "./schema.ts";
import { applyStrategicMergePatch } from "./strategic-merge-patch.ts";

const field = (type: TypeSchema, more: Partial<FieldSchema> = {}): FieldSchema => ({
  type,
  goType: "",
  default: undefined,
  listType: undefined,
  listMapKeys: undefined,
  patchStrategy: undefined,
  patchMergeKey: undefined,
  mapType: undefined,
  ...more,
});
const struct = (name: string, fields: Record<string, FieldSchema>): StructSchema => ({
  name,
  fields: new Map(Object.entries(fields)),
  atomic: false,
});
const text = field({ kind: "string" });
const container = struct("Container", {
  name: text,
  image: text,
  args: field({ kind: "list", items: { kind: "string" } }),
});
const schema = struct("Thing", {
  items: field(
    { kind: "list", items: { kind: "struct", struct: container } },
    { patchStrategy: "merge", patchMergeKey: "name" },
  ),
  finalizers: field({ kind: "list", items: { kind: "string" } }, { patchStrategy: "merge" }),
  labels: field({ kind: "map", values: { kind: "string" } }),
  strategy: field({ kind: "struct", struct: struct("Strategy", { type: text }) }, { patchStrategy: "retainKeys" }),
});
const abc = { items: [{ name: "a", image: "1" }, { name: "b", image: "2", args: ["x", "y"] }, { name: "c" }] };

const strategic: { name: string; original: object; patch: object; want: object }[] = [
  {
    name: "an item is keyed",
    original: abc,
    patch: { items: [{ name: "b", image: "3", args: ["z"] }] },
    want: { items: [{ name: "a", image: "1" }, { name: "b", image: "3", args: ["z"] }, { name: "c" }] },
  },
  {
    name: "an item is new",
    original: { items: [{ name: "a" }] },
    patch: { items: [{ name: "b", image: null }] },
    want: { items: [{ name: "a" }, { name: "b" }] },
  },
  {
    name: "an item is deleted",
    original: abc,
    patch: { items: [{ name: "b", $patch: "delete" }] },
    want: { items: [{ name: "a", image: "1" }, { name: "c" }] },
  },
  {
    name: "a keyed list is replaced",
    original: abc,
    patch: { items: [{ name: "z" }, { $patch: "replace" }] },
    want: { items: [{ name: "z" }] },
  },
  {
    name: "a list of scalars is merged without repetition",
    original: { finalizers: ["a", "b"] },
    patch: { finalizers: ["b", "c"] },
    want: { finalizers: ["a", "b", "c"] },
  },
  {
    name: "values are taken from a list of scalars",
    original: { finalizers: ["a", "b"] },
    patch: { "$deleteFromPrimitiveList/finalizers": ["a"] },
    want: { finalizers: ["b"] },
  },
  {
    name: "the order of items is set and the server's own item keeps its place",
    original: abc,
    patch: { "$setElementOrder/items": [{ name: "c" }, { name: "b" }], items: [{ name: "c", image: "9" }] },
    want: {
      items: [
        { name: "a", image: "1" },
        { name: "c", image: "9" },
        { name: "b", image: "2", args: ["x", "y"] },
      ],
    },
  },
  {
    name: "a map's key is null",
    original: { labels: { a: "1", b: "2" } },
    patch: { labels: { a: null } },
    want: { labels: { b: "2" } },
  },
  {
    name: "a map is replaced",
    original: { labels: { a: "1" } },
    patch: { labels: { $patch: "replace", b: "2" } },
    want: { labels: { b: "2" } },
  },
  {
    name: "a map is emptied",
    original: { labels: { a: "1" } },
    patch: { labels: { $patch: "delete" } },
    want: { labels: {} },
  },
  {
    name: "keys are retained",
    original: { strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: 1 } } },
    patch: { strategy: { $retainKeys: ["type"], type: "Recreate" } },
    want: { strategy: { type: "Recreate" } },
  },
  {
    name: "nulls stand in a new map",
    original: {},
    patch: { labels: { a: null, b: "1" } },
    want: { labels: { b: "1" } },
  },
];
for (const { name, original, patch, want } of strategic) {
  test(`applyStrategicMergePatch() follows the directives when ${name}`, () => {
    const before = JSON.stringify([original, patch]);
    assert.deepEqual(applyStrategicMergePatch(original as never, patch as never, schema), want);
    assert.equal(JSON.stringify([original, patch]), before, "the arguments are untouched");
  });
}
const badStrategic: { name: string; patch: object; want: RegExp }[] = [
  {
    name: "a keyed item has no key",
    patch: { items: [{ image: "x" }] },
    want: /does not contain declared merge key: name/,
  },
  { name: "the directive is unknown", patch: { labels: { $patch: "burn" } }, want: /Unknown patch type found: burn/ },
  {
    name: "retained keys lack a key that is set",
    patch: { strategy: { $retainKeys: [], type: "x" } },
    want: /does not have the key "type"/,
  },
  {
    name: "the order lacks an item",
    patch: { "$setElementOrder/items": [{ name: "a" }], items: [{ name: "b" }] },
    want: /doesn't match \$setElementOrder/,
  },
];
for (const { name, patch, want } of badStrategic) {
  test(`applyStrategicMergePatch() says what is malformed when ${name}`, () => {
    const original = { ...abc, labels: { a: "1" }, strategy: { type: "y" } };
    assert.throws(
      () => applyStrategicMergePatch(original, patch as never, schema),
      (error) => error instanceof PatchError && error.kind === "malformed" && want.test(error.message),
    );
  });
}

const merges: { name: string; target: unknown; patch: unknown; want: unknown }[] = [
  { name: "a key is null", target: { a: 1, b: 2 }, patch: { a: null }, want: { b: 2 } },
  { name: "a list is replaced", target: { a: [1, 2] }, patch: { a: [3] }, want: { a: [3] } },
  { name: "an object meets a scalar", target: { a: 1 }, patch: { a: { b: null, c: 1 } }, want: { a: { c: 1 } } },
];
for (const { name, target, patch, want } of merges) {
  test(`applyMergePatch() follows RFC 7386 when ${name}`, () => assert.deepEqual(applyMergePatch(target, patch), want));
}

test("applyMergePatch() treats __proto__ as data", () => {
  const result = applyMergePatch({}, JSON.parse('{"__proto__":{"polluted":true}}')) as Record<string, unknown>;
  assert.equal((result as { polluted?: boolean }).polluted, undefined);
  assert.deepEqual(Object.keys(result), ["__proto__"]);
});

const jsonPatches: { name: string; doc: unknown; patch: object[]; want: unknown }[] = [
  { name: "a key is added", doc: {}, patch: [{ op: "add", path: "/a~1b", value: 1 }], want: { "a/b": 1 } },
  { name: "an item is inserted", doc: [1, 3], patch: [{ op: "add", path: "/1", value: 2 }], want: [1, 2, 3] },
  { name: "an item is appended", doc: { a: [1] }, patch: [{ op: "add", path: "/a/-", value: 2 }], want: { a: [1, 2] } },
  { name: "a key is removed", doc: { a: 1 }, patch: [{ op: "remove", path: "/a" }], want: {} },
  {
    name: "a value is replaced",
    doc: { a: 1 },
    patch: [{ op: "replace", path: "/a", value: null }],
    want: { a: null },
  },
  {
    name: "a value moves",
    doc: { a: { b: 1 } },
    patch: [{ op: "move", from: "/a/b", path: "/c" }],
    want: { a: {}, c: 1 },
  },
  {
    name: "a value is copied",
    doc: { a: [1] },
    patch: [{ op: "copy", from: "/a", path: "/b" }],
    want: { a: [1], b: [1] },
  },
  {
    name: "a test passes",
    doc: { a: { b: 1, c: 2 } },
    patch: [{ op: "test", path: "/a", value: { c: 2, b: 1 } }],
    want: { a: { b: 1, c: 2 } },
  },
  {
    name: "the whole is replaced",
    doc: { a: 1 },
    patch: [{ op: "replace", path: "", value: { b: 1 } }],
    want: { b: 1 },
  },
];
for (const { name, doc, patch, want } of jsonPatches) {
  test(`applyJsonPatch() follows RFC 6902 when ${name}`, () => assert.deepEqual(applyJsonPatch(doc, patch), want));
}
const badJsonPatches: { name: string; patch: unknown; kind: PatchError["kind"]; want: RegExp }[] = [
  { name: "it is no list", patch: {}, kind: "malformed", want: /must be an array/ },
  {
    name: "the operation is unknown",
    patch: [{ op: "burn", path: "/a" }],
    kind: "malformed",
    want: /Unexpected kind: burn/,
  },
  { name: "a value is missing", patch: [{ op: "add", path: "/a" }], kind: "malformed", want: /has no value/ },
  {
    name: "a test fails",
    patch: [{ op: "test", path: "/a", value: 2 }],
    kind: "unappliable",
    want: /testing value \/a failed/,
  },
  { name: "a path is missing", patch: [{ op: "remove", path: "/x" }], kind: "unappliable", want: /missing key: \/x/ },
  {
    name: "an index is out of range",
    patch: [{ op: "add", path: "/l/5", value: 1 }],
    kind: "unappliable",
    want: /invalid index/,
  },
];
for (const { name, patch, kind, want } of badJsonPatches) {
  test(`applyJsonPatch() throws ${kind} when ${name}`, () => {
    assert.throws(
      () => applyJsonPatch({ a: 1, l: [] }, patch),
      (error) => error instanceof PatchError && error.kind === kind && want.test(error.message),
    );
  });
}
