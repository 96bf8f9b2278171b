import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { applyJsonPatch } from "./json-patch.ts";
import { applyMergePatch } from "./merge-patch.ts";
import { PatchError } from "./patch-error.ts";
import {
  type FieldSchema,
  hasKey,
  isJsonObject,
  type JsonObject,
  jsonEquals,
  type StructSchema,
  setKey,
  type TypeSchema,
} from "./schema.ts";
import { StatusError } from "./status-error.ts";
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
    name: "an item is new, which goes first when no order is set",
    original: { items: [{ name: "a" }] },
    patch: { items: [{ name: "b", image: null }] },
    want: { items: [{ name: "b" }, { name: "a" }] },
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
    name: "items of the patch stand in its order among those of the server",
    original: abc,
    patch: { items: [{ name: "c" }, { name: "a", image: "9" }] },
    want: { items: [{ name: "b", image: "2", args: ["x", "y"] }, { name: "c" }, { name: "a", image: "9" }] },
  },
  {
    name: "new items get their place from the order",
    original: abc,
    patch: {
      "$setElementOrder/items": [{ name: "a" }, { name: "d" }, { name: "b" }, { name: "c" }],
      items: [{ name: "d" }],
    },
    want: {
      items: [{ name: "a", image: "1" }, { name: "d" }, { name: "b", image: "2", args: ["x", "y"] }, { name: "c" }],
    },
  },
  {
    name: "only the order is set",
    original: { finalizers: ["a", "b", "c"] },
    patch: { "$setElementOrder/finalizers": ["c", "a"] },
    want: { finalizers: ["b", "c", "a"] },
  },
  {
    name: "an item is deleted and the order set, as kubectl sends it",
    original: abc,
    patch: {
      "$setElementOrder/items": [{ name: "a" }, { name: "c" }],
      items: [{ $patch: "delete", name: "b" }],
    },
    want: { items: [{ name: "a", image: "1" }, { name: "c" }] },
  },
  {
    name: "values are taken, added and ordered at once",
    original: { finalizers: ["a", "b"] },
    patch: {
      "$deleteFromPrimitiveList/finalizers": ["a"],
      "$setElementOrder/finalizers": ["c", "b"],
      finalizers: ["c"],
    },
    want: { finalizers: ["c", "b"] },
  },
  {
    name: "a list that is not merged is replaced",
    original: abc,
    patch: { items: [{ name: "b", args: ["z", "x"] }] },
    want: { items: [{ name: "a", image: "1" }, { name: "b", image: "2", args: ["z", "x"] }, { name: "c" }] },
  },
  {
    name: "a list of deletions meets nothing",
    original: { labels: { a: "1" } },
    patch: { "$deleteFromPrimitiveList/finalizers": ["a"] },
    want: { labels: { a: "1" } },
  },
  {
    name: "an order meets nothing",
    original: {},
    patch: { "$setElementOrder/items": [{ name: "a" }] },
    want: {},
  },
  {
    name: "a new keyed list carries directives",
    original: {},
    patch: { items: [{ name: "a" }, { name: "b", $patch: "delete" }] },
    want: { items: [{ name: "a" }] },
  },
  {
    name: "a map that is not there shall be replaced",
    original: {},
    patch: { labels: { $patch: "replace", a: "1" } },
    want: {},
  },
  {
    name: "nothing of a key is known",
    original: { other: { a: [1], b: 1 } },
    patch: { other: { a: [2], b: null, c: { d: null } } },
    want: { other: { a: [2], c: {} } },
  },
  {
    name: "a key is called __proto__",
    original: JSON.parse('{"labels":{"__proto__":"x"}}'),
    patch: JSON.parse('{"labels":{"__proto__":"y"}}'),
    want: JSON.parse('{"labels":{"__proto__":"y"}}'),
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
    want: /^map: map\[image:x\] does not contain declared merge key: name$/,
  },
  { name: "a map shall be merged", patch: { labels: { $patch: "merge" } }, want: /^unknown patch type: merge/ },
  {
    name: "an item shall be merged",
    patch: { items: [{ name: "a", $patch: "merge" }] },
    want: /^merging lists cannot yet be specified in the patch$/,
  },
  {
    name: "the order is no list",
    patch: { "$setElementOrder/items": "a" },
    want: /^expected a \[\]interface \{\}, but received a string$/,
  },
  {
    name: "deletions name no list",
    patch: { $deleteFromPrimitiveList: [] },
    want: /^invalid patch format of primitive list$/,
  },
  {
    name: "a list is mixed",
    patch: { items: ["a"] },
    want: /^list element types are not identical: /,
  },
  {
    name: "the directive is unknown",
    patch: { labels: { $patch: "burn" } },
    want: /^unknown patch type: burn in map: map\[\$patch:burn\]$/,
  },
  {
    name: "retained keys lack a key that is set",
    patch: { strategy: { $retainKeys: [], type: "x" } },
    want: /^invalid patch format of retainKeys$/,
  },
  {
    name: "the order lacks an item",
    patch: { "$setElementOrder/items": [{ name: "a" }], items: [{ name: "b" }] },
    want: /^The order in patch list:\n\[map\[name:b\]\]\n doesn't match \$setElementOrder list:\n\[map\[name:a\]\]\n$/,
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
  { name: "an index is negative", doc: [1, 2], patch: [{ op: "remove", path: "/-1" }], want: [1] },
  {
    name: "it is added at a negative index",
    doc: [1, 2],
    patch: [{ op: "add", path: "/-1", value: 3 }],
    want: [1, 2, 3],
  },
  { name: "a value is missing", doc: {}, patch: [{ op: "add", path: "/a" }], want: { a: null } },
  { name: "null is tested where nothing is", doc: {}, patch: [{ op: "test", path: "/a", value: null }], want: {} },
  { name: "a key is empty", doc: {}, patch: [{ op: "add", path: "/", value: 1 }], want: { "": 1 } },
  { name: "a token has both escapes", doc: {}, patch: [{ op: "add", path: "/~01", value: 1 }], want: { "~1": 1 } },
  {
    name: "a copy is changed later",
    doc: { a: { x: 1 } },
    patch: [
      { op: "copy", from: "/a", path: "/b" },
      { op: "replace", path: "/b/x", value: 2 },
    ],
    want: { a: { x: 1 }, b: { x: 2 } },
  },
];
for (const { name, doc, patch, want } of jsonPatches) {
  test(`applyJsonPatch() follows RFC 6902 when ${name}`, () => assert.deepEqual(applyJsonPatch(doc, patch), want));
}
const badJsonPatches: { name: string; patch: unknown; kind: PatchError["kind"]; want: RegExp }[] = [
  {
    name: "it is no list",
    patch: {},
    kind: "malformed",
    want: /^json: cannot unmarshal object into Go value of type jsonpatch.Patch$/,
  },
  {
    name: "an operation is none",
    patch: [5],
    kind: "malformed",
    want: /^json: cannot unmarshal number into Go value of type jsonpatch.Operation$/,
  },
  {
    name: "the operation is unknown",
    patch: [{ op: "burn", path: "/a" }],
    kind: "unappliable",
    want: /^Unexpected kind: burn$/,
  },
  {
    name: "a path is missing",
    patch: [{ op: "add" }],
    kind: "unappliable",
    want: /add operation failed to decode path/,
  },
  {
    name: "a test fails",
    patch: [{ op: "test", path: "/a", value: 2 }],
    kind: "unappliable",
    want: /^testing value \/a failed: test failed$/,
  },
  { name: "a key is missing", patch: [{ op: "remove", path: "/x" }], kind: "unappliable", want: /missing key: \/x/ },
  {
    name: "a replaced key is missing",
    patch: [{ op: "replace", path: "/x", value: 1 }],
    kind: "unappliable",
    want: /missing key: \/x/,
  },
  {
    name: "a parent is missing",
    patch: [{ op: "add", path: "/x/y", value: 1 }],
    kind: "unappliable",
    want: /missing path: \/x\/y/,
  },
  {
    name: "a parent is a scalar",
    patch: [{ op: "add", path: "/a/y", value: 1 }],
    kind: "unappliable",
    want: /missing path: \/a\/y/,
  },
  {
    name: "the pointer is of the whole",
    patch: [{ op: "replace", path: "", value: {} }],
    kind: "unappliable",
    want: /missing path/,
  },
  {
    name: "an index is out of range",
    patch: [{ op: "add", path: "/l/5", value: 1 }],
    kind: "unappliable",
    want: /invalid index/,
  },
  {
    name: "an index is no number",
    patch: [{ op: "add", path: "/l/x", value: 1 }],
    kind: "unappliable",
    want: /invalid syntax/,
  },
  {
    name: "a value moves into itself",
    patch: [{ op: "move", from: "/l", path: "/l/0" }],
    kind: "unappliable",
    want: /missing path/,
  },
  {
    name: "copies grow without end",
    patch: Array(60)
      .fill({ op: "copy", from: "", path: "/l/-" })
      .map((op, i) => ({ ...op, from: i === 0 ? "/big" : "/l" })),
    kind: "unappliable",
    want: /^Unable to complete the copy, the accumulated size increase of copy is \d+, exceeding the limit 3145728$/,
  },
];
for (const { name, patch, kind, want } of badJsonPatches) {
  test(`applyJsonPatch() throws ${kind} when ${name}`, () => {
    assert.throws(
      () => applyJsonPatch({ a: 1, l: [], big: "x".repeat(1000) }, patch),
      (error) => error instanceof PatchError && error.kind === kind && want.test(error.message),
    );
  });
}
test("applyJsonPatch() throws 413 when there are too many operations", () => {
  assert.throws(
    () => applyJsonPatch({}, Array(10_001).fill({ op: "test", path: "/a", value: null })),
    (error) =>
      error instanceof StatusError &&
      error.code === 413 &&
      error.message === "Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001",
  );
});

const json = fc.jsonValue({ maxDepth: 3 });
const document = fc.dictionary(fc.constantFrom("a", "b", "c", "~", "/", "__proto__"), json);
const pointerOf = (key: string) => `/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`;

test("applyJsonPatch() makes any document of any other when told key by key, and changes no argument", () => {
  fc.assert(
    fc.property(document, document, (before, after) => {
      const text = JSON.stringify(before);
      const patch = [
        ...Object.keys(before).map((key) => ({ op: "remove", path: pointerOf(key) })),
        ...Object.keys(after).map((key) => ({ op: "add", path: pointerOf(key), value: after[key] })),
        ...Object.keys(after).map((key) => ({ op: "test", path: pointerOf(key), value: after[key] })),
      ];
      assert.equal(JSON.stringify(applyJsonPatch(before, patch)), JSON.stringify(after));
      assert.equal(JSON.stringify(before), text);
    }),
    { verbose: 1 },
  );
});

/** The merge patch from one document to another; neither has nulls. */
function difference(before: unknown, after: unknown): unknown {
  if (!isJsonObject(before) || !isJsonObject(after)) return after;
  const patch: JsonObject = {};
  for (const key of Object.keys(before)) if (!hasKey(after, key)) setKey(patch, key, null);
  for (const key of Object.keys(after)) {
    setKey(patch, key, hasKey(before, key) ? difference(before[key], after[key]) : after[key]);
  }
  return patch;
}
const withoutNulls = document.map((value) => JSON.parse(JSON.stringify(value, (_k, v) => (v === null ? 0 : v))));
test("applyMergePatch() and applyStrategicMergePatch() lead to the document whose difference they are given", () => {
  const nothing = struct("Nothing", {});
  fc.assert(
    fc.property(withoutNulls, withoutNulls, (before, after) => {
      const patch = difference(before, after) as JsonObject;
      assert.ok(jsonEquals(applyMergePatch(before, patch), after));
      assert.ok(jsonEquals(applyStrategicMergePatch(before, patch, nothing), after));
    }),
    { verbose: 1 },
  );
});

const named = fc.uniqueArray(fc.constantFrom("a", "b", "c", "d", "e"));
const itemsOf = (names: readonly string[], image: string) => names.map((name) => ({ name, image }));
test("applyStrategicMergePatch() with $setElementOrder puts named items in that order and loses no other", () => {
  fc.assert(
    fc.property(named, named, (server, wanted) => {
      const patch = { "$setElementOrder/items": wanted.map((name) => ({ name })), items: itemsOf(wanted, "new") };
      const { items } = applyStrategicMergePatch({ items: itemsOf(server, "old") }, patch, schema) as {
        items: { name: string; image: string }[];
      };
      const others = server.filter((name) => !wanted.includes(name));
      assert.deepEqual(
        items.filter((i) => i.image === "new").map((i) => i.name),
        wanted,
      );
      assert.deepEqual(
        items.filter((i) => i.image === "old").map((i) => i.name),
        others,
      );
    }),
    { verbose: 1 },
  );
});
test("applyStrategicMergePatch() changes nothing when it is applied a second time", () => {
  fc.assert(
    fc.property(named, named, named, (server, changed, deleted) => {
      const gone = deleted.filter((name) => !changed.includes(name));
      const patch = {
        items: [...itemsOf(changed, "new"), ...gone.map((name) => ({ name, $patch: "delete" }))],
        finalizers: changed,
        "$deleteFromPrimitiveList/finalizers": gone,
      };
      const once = applyStrategicMergePatch({ items: itemsOf(server, "old"), finalizers: server }, patch, schema);
      assert.deepEqual(applyStrategicMergePatch(once, patch, schema), once);
    }),
    { verbose: 1 },
  );
});
