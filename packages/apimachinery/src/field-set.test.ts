import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decodeFieldsV1, encodeFieldsV1, setOfPaths, setsEqual } from "./field-set.ts";
import { compareUtf8 } from "./json.ts";

const name = fc.string({ unit: "grapheme", minLength: 1, maxLength: 4 }).map((text) => `f:${text}`);
const path = fc.array(name, { minLength: 1, maxLength: 3 });
const paths = fc.array(path, { minLength: 1, maxLength: 40 });

test("encodeFieldsV1() writes names in the order of their code points, however many they are", () => {
  fc.assert(
    fc.property(paths, (some) => {
      const encoded = Object.keys(encodeFieldsV1(setOfPaths(some)));
      const wanted = [...new Set(some.map(([first = ""]) => first))].sort(compareUtf8);
      assert.deepEqual(encoded, wanted);
    }),
  );
});

test("decodeFieldsV1() reads what encodeFieldsV1() wrote, also behind JSON", () => {
  fc.assert(
    fc.property(paths, (some) => {
      const set = setOfPaths(some);
      assert.ok(setsEqual(decodeFieldsV1(JSON.parse(JSON.stringify(encodeFieldsV1(set)))), set));
    }),
  );
});

test("encodeFieldsV1() puts a node's own membership first, then fields, keys and values", () => {
  const set = setOfPaths([
    ["f:a"],
    ["f:a", "v:2"],
    ["f:a", "v:10"],
    ["f:a", 'k:{"name":"b"}'],
    ["f:a", 'k:{"name":"a"}'],
    ["f:a", "f:z"],
  ]);
  const wanted = [".", "f:z", 'k:{"name":"a"}', 'k:{"name":"b"}', "v:2", "v:10"];
  assert.deepEqual(Object.keys(encodeFieldsV1(set)["f:a"] as object), wanted);
});
