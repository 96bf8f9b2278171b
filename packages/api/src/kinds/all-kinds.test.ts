/** What must hold for every kind: no input that the decoder lets through makes a descriptor throw; defaults are idempotent. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { apiVersionOf } from "@knarr/apimachinery/resource.ts";
import fc from "fast-check";
import type { KindDescriptor } from "../descriptor.ts";
import type { StructSchema, TypeSchema } from "../schema.ts";
import { allKinds } from "./index.ts";

const now = Date.parse("2026-01-02T03:04:05Z");
type Random = (max: number) => number;

/** A well-typed value; `random` decides what is there. */
function sample(type: TypeSchema, random: Random, depth: number): unknown {
  switch (type.kind) {
    case "string":
      return type.enumValues?.[random(type.enumValues.length)] ?? ["", "web", "Not a name!", "10.0.0.1"][random(4)];
    case "boolean":
      return random(2) === 0;
    case "int32":
    case "int64":
      return [-1, 0, 1, 80, 70_000][random(5)];
    case "double":
      return 1.5;
    case "bytes":
      return ["", "aGVsbG8="][random(2)];
    case "time":
      return "2026-01-01T00:00:00Z";
    case "microTime":
      return "2026-01-01T00:00:00.000000Z";
    case "duration":
      return "30s";
    case "quantity":
      return ["1", "100m", "-1", "1Gi", "0.0001"][random(5)];
    case "intOrString":
      return [80, "25%", "http", ""][random(4)];
    case "struct":
      return sampleStruct(type.struct, random, depth + 1);
    case "list":
      return depth > 6 ? [] : Array.from({ length: random(3) }, () => sample(type.items, random, depth + 1));
    case "map":
      return depth > 6 ? {} : { "a.b/c": sample(type.values, random, depth + 1) };
    default:
      return { any: "thing" };
  }
}

function sampleStruct(struct: StructSchema, random: Random, depth: number): Record<string, unknown> {
  const object: Record<string, unknown> = {};
  for (const field of struct.fields.values()) {
    if (field.name === "managedFields" || depth > 9) continue;
    if (random(3) > 0) object[field.name] = sample(field.type, random, depth);
  }
  return object;
}

function generator(seed: number): Random {
  let state = seed >>> 0;
  return (max) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * max);
  };
}

function named(kind: KindDescriptor, object: Record<string, unknown>): KubeObject {
  const { ref } = kind;
  return {
    ...object,
    apiVersion: apiVersionOf(ref),
    kind: ref.kind,
    metadata: {
      ...(object.metadata as object),
      name: "sample",
      ...(ref.namespaced ? { namespace: "default" } : {}),
    },
  };
}

function exercise(kind: KindDescriptor, object: KubeObject): void {
  kind.default(object);
  const again = structuredClone(object);
  kind.default(again);
  assert.deepEqual(again, object, "defaults are idempotent");
  kind.prepareForCreate(object);
  kind.validate(object);
  kind.warnings(object, undefined);
  kind.fieldsOf(object);
  for (const column of kind.columns) column.cell(object, now);
  kind.deletion.graceSeconds(object, undefined);
  kind.fromStored(kind.toStored(object));
  for (const subresource of ["", ...kind.subresources.map((s) => s.name)]) {
    const next = structuredClone(object);
    kind.prepareForUpdate(next, object, subresource);
    kind.validateUpdate(next, object, subresource);
  }
}

for (const kind of allKinds) {
  const name = `${apiVersionOf(kind.ref)} ${kind.ref.kind}`;

  test(`${name} takes an object with nothing but a name`, () => {
    exercise(kind, named(kind, {}));
  });

  test(`${name} takes any well-typed object`, () => {
    const schema = kind.schema();
    assert.ok(schema !== undefined, "has a field table");
    fc.assert(
      fc.property(fc.integer(), (seed) => exercise(kind, named(kind, sampleStruct(schema, generator(seed), 0)))),
      { numRuns: 40 },
    );
  });

  test(`${name} has a column for the name and no two of one name`, () => {
    const titles = kind.columns.map((column) => column.name);
    assert.equal(new Set(titles).size, titles.length);
    assert.ok(titles.includes("Name"));
  });
}
