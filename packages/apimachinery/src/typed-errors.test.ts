import assert from "node:assert/strict";
import { test } from "node:test";
import type { FieldSchema, StructSchema, TypeSchema } from "./schema.ts";
import { typedErrors } from "./typed-errors.ts";

function field(type: TypeSchema, more: Partial<FieldSchema> = {}): FieldSchema {
  return {
    type,
    goType: "",
    default: undefined,
    listType: undefined,
    listMapKeys: undefined,
    patchStrategy: undefined,
    patchMergeKey: undefined,
    mapType: undefined,
    ...more,
  };
}

function struct(name: string, fields: Record<string, FieldSchema>): StructSchema {
  return { name, fields: new Map(Object.entries(fields)), atomic: false };
}

const container = struct("Container", {
  name: field({ kind: "string" }),
  port: field({ kind: "int32" }),
  stdin: field({ kind: "boolean" }),
  cpu: field({ kind: "quantity" }),
});
const thing = struct("Thing", {
  containers: field(
    { kind: "list", items: { kind: "struct", struct: container } },
    { listType: "map", listMapKeys: ["name"] },
  ),
  tags: field({ kind: "list", items: { kind: "string" } }, { listType: "set" }),
  args: field({ kind: "list", items: { kind: "string" } }),
  data: field({ kind: "map", values: { kind: "string" } }),
  raw: field({ kind: "raw" }),
});

const cases: [why: string, document: Record<string, unknown>, want: string[]][] = [
  ["all is well, nulls too", { containers: [{ name: "a", port: 1, cpu: 1 }], data: null, raw: [1] }, []],
  [
    "a keyed item has an unknown field",
    { containers: [{ name: "a", foo: 1 }] },
    ['.containers[name="a"].foo: field not declared in schema'],
  ],
  [
    "a string is something else",
    { data: { a: true, b: 8080, c: { d: ["x", null] } } },
    [
      ".data.a: expected string, got &value.valueUnstructured{Value:true}",
      ".data.b: expected string, got &value.valueUnstructured{Value:8080}",
      '.data.c: expected string, got &value.valueUnstructured{Value:map[string]interface {}{"d":[]interface {}{"x", interface {}(nil)}}}',
    ],
  ],
  [
    "a number, a boolean and a quantity are something else",
    { containers: [{ name: "a", port: "80", stdin: 1, cpu: { b: 1, a: [2] } }] },
    [
      '.containers[name="a"].port: expected numeric (int or float), got string',
      '.containers[name="a"].stdin: expected boolean, got &{1}',
      '.containers[name="a"].cpu: expected any scalar, got &{map[a:[2] b:1]}',
    ],
  ],
  [
    "lists and maps are mistaken",
    { containers: { name: "a" }, data: ["a", "b"], args: "x", tags: [1], raw: 1 },
    [
      ".containers: expected list, got &{map[name:a]}",
      ".data: expected map, got &{[a b]}",
      ".args: expected list, got &{x}",
      ".tags[=1]: expected string, got &value.valueUnstructured{Value:1}",
    ],
  ],
  [
    "items of a list without keys have indices",
    { args: ["a", 2] },
    [".args[1]: expected string, got &value.valueUnstructured{Value:2}"],
  ],
];

for (const [why, document, want] of cases) {
  test(`typedErrors() has upstream's words when ${why}`, () => {
    assert.deepEqual(typedErrors(document, thing), want);
  });
}
