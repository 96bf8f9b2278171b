/** Every default that the field tables carry is filled in by the hand-written defaults, wherever its struct is. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { apiVersionOf } from "@knarr/apimachinery/resource.ts";
import type { StructSchema, TypeSchema } from "../schema.ts";
import { allKinds } from "./index.ts";

type Fields = Record<string, unknown>;

/** Everything is there, once, but the fields that have a default. */
function full(type: TypeSchema, seen: readonly StructSchema[]): unknown {
  switch (type.kind) {
    case "struct": {
      if (seen.includes(type.struct)) return undefined;
      const object: Fields = {};
      for (const field of type.struct.fields.values()) {
        if (field.default === undefined) object[field.name] = full(field.type, [...seen, type.struct]);
      }
      return object;
    }
    case "list": {
      const item = full(type.items, seen);
      return item === undefined ? [] : [item];
    }
    case "map":
      return { key: full(type.values, seen) };
    case "boolean":
      return true;
    case "int32":
    case "int64":
    case "double":
    case "intOrString":
      return 1;
    case "quantity":
      return "1";
    case "time":
    case "microTime":
      return "2026-01-01T00:00:00Z";
    default:
      return "text";
  }
}

/** Paths of fields that should have been defaulted and were not. */
function missing(value: unknown, type: TypeSchema, path: string): string[] {
  if (value === undefined || value === null) return [];
  switch (type.kind) {
    case "struct":
      return [...type.struct.fields.values()].flatMap((field) => {
        const own = (value as Fields)[field.name];
        const isZero = field.default === 0 || field.default === false || field.default === "";
        const lacks = field.default !== undefined && own === undefined && !(isZero && !field.pointer);
        return lacks ? [`${path}.${field.name}`] : missing(own, field.type, `${path}.${field.name}`);
      });
    case "list":
      return (value as unknown[]).flatMap((item) => missing(item, type.items, `${path}[]`));
    case "map":
      return Object.values(value as Fields).flatMap((item) => missing(item, type.values, `${path}{}`));
    default:
      return [];
  }
}

for (const kind of allKinds) {
  test(`default() of ${apiVersionOf(kind.ref)} ${kind.ref.kind} fills in every default of its field table`, () => {
    const struct = kind.schema();
    assert.ok(struct !== undefined);
    const object = full({ kind: "struct", struct }, []) as unknown as KubeObject;
    kind.default(object);
    assert.deepEqual(missing(object, { kind: "struct", struct }, ""), []);
  });
}
