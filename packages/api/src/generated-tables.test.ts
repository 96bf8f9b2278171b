/**
 * The generated tables against an independent table of the same facts. Its path is KNARR_FIELDS_JSON, or
 * ../shared/data/kubernetes-1.36-fields.json beside the checkout.
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { env } from "node:process";
import { test } from "node:test";
import { tables } from "./generated/tables/index.ts";
import { allKinds } from "./kinds/index.ts";
import { type FieldSchema, structNames, structSchema, type TypeSchema } from "./schema.ts";

interface ReferenceField {
  readonly type?: string;
  readonly format?: string;
  readonly ref?: string;
  readonly items?: ReferenceField;
  readonly values?: ReferenceField;
  readonly required?: boolean;
  readonly default?: unknown;
  readonly listType?: string;
  readonly listMapKeys?: readonly string[];
  readonly patchStrategy?: string;
  readonly patchMergeKey?: string;
  readonly mapType?: string;
}

interface Reference {
  readonly definitions: Readonly<Record<string, { readonly fields?: Readonly<Record<string, ReferenceField>> }>>;
  readonly resources: readonly {
    readonly group: string;
    readonly version: string;
    readonly resource: string;
    readonly kind: string;
    readonly namespaced: boolean;
    readonly verbs: readonly string[];
    readonly singular: string;
    readonly shortNames: readonly string[];
    readonly categories: readonly string[];
    readonly subresources: readonly {
      readonly name: string;
      readonly kind: string;
      readonly verbs: readonly string[];
    }[];
  }[];
}

const path = env.KNARR_FIELDS_JSON ?? join(import.meta.dirname, "../../../../shared/data/kubernetes-1.36-fields.json");
const skip = existsSync(path) ? false : `optional: no reference table; set KNARR_FIELDS_JSON (looked at ${path})`;

function load(): Reference {
  return JSON.parse(readFileSync(path, "utf8")) as Reference;
}

const scalarForms: Readonly<Record<string, ReferenceField>> = {
  string: { type: "string" },
  boolean: { type: "boolean" },
  int32: { type: "integer", format: "int32" },
  int64: { type: "integer", format: "int64" },
  double: { type: "number", format: "double" },
  bytes: { type: "string", format: "byte" },
  time: { ref: "io.k8s.apimachinery.pkg.apis.meta.v1.Time" },
  microTime: { ref: "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime" },
  duration: { ref: "io.k8s.apimachinery.pkg.apis.meta.v1.Duration" },
  quantity: { ref: "io.k8s.apimachinery.pkg.api.resource.Quantity" },
  intOrString: { ref: "io.k8s.apimachinery.pkg.util.intstr.IntOrString" },
  raw: { ref: "io.k8s.apimachinery.pkg.runtime.RawExtension" },
  fieldsV1: { ref: "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1" },
};

function formOf(type: TypeSchema): ReferenceField {
  switch (type.kind) {
    case "struct":
      return { ref: type.struct.openApiName };
    case "list":
      return { type: "array", items: formOf(type.items) };
    case "map":
      return { type: "object", values: formOf(type.values) };
    default:
      return scalarForms[type.kind] ?? {};
  }
}

/** Without what the type itself says: the reference has facts of fields only. */
function ownMapType(field: FieldSchema): FieldSchema["mapType"] {
  const ofType = field.type.kind === "struct" && field.type.struct.atomic;
  return ofType && field.mapType === "atomic" ? undefined : field.mapType;
}

function ownForm(field: FieldSchema): ReferenceField {
  const mapType = ownMapType(field);
  return {
    ...formOf(field.type),
    ...(field.required ? { required: true } : {}),
    ...(field.default === undefined ? {} : { default: field.default }),
    ...(field.listType === undefined ? {} : { listType: field.listType }),
    ...(field.listMapKeys === undefined ? {} : { listMapKeys: field.listMapKeys }),
    ...(field.patchStrategy === undefined ? {} : { patchStrategy: field.patchStrategy }),
    ...(field.patchMergeKey === undefined ? {} : { patchMergeKey: field.patchMergeKey }),
    ...(mapType === undefined ? {} : { mapType }),
  };
}

/** The reference leaves out defaults that are Go's zero values anyway. */
function comparable(field: ReferenceField): ReferenceField {
  const { default: value, ...rest } = field;
  return value === 0 || value === false || value === "" || value === undefined ? rest : field;
}

const opaque = /\.JSON(SchemaPropsOr\w+)?$/;

for (const [id, source] of Object.entries(tables)) {
  test(`tables of ${id} hold the reference's fields`, { skip }, () => {
    const { definitions } = load();
    const prefix = `${source.openApiPrefix}.`;
    const names = new Set(structNames(id));
    const expected = Object.keys(definitions).filter(
      (name) => name.startsWith(prefix) && definitions[name]?.fields !== undefined && !opaque.test(name),
    );
    for (const name of expected) {
      const short = name.slice(prefix.length);
      assert.ok(names.has(short), `${name} is missing`);
      const own = structSchema(id, short).fields;
      const reference = definitions[name]?.fields ?? {};
      assert.deepEqual([...own.keys()].sort(), Object.keys(reference).sort(), name);
      for (const [field, wanted] of Object.entries(reference)) {
        const has = own.get(field);
        assert.ok(has !== undefined);
        if (JSON.stringify(wanted).match(/\.JSON(SchemaPropsOr\w+)?"/) !== null) continue;
        assert.deepEqual(comparable(ownForm(has)), comparable(wanted), `${name}.${field}`);
      }
    }
  });
}

test("kinds have the reference's names, verbs and subresources", { skip }, () => {
  const later = new Set(["admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io"]);
  const wanted = load().resources.filter((r) => /^v\d+$/.test(r.version) && !later.has(r.group));
  const sorted = (list: readonly string[]) => [...list].sort();
  const own = allKinds.map((kind) => ({
    group: kind.ref.group,
    version: kind.ref.version,
    resource: kind.ref.resource,
    kind: kind.ref.kind,
    namespaced: kind.ref.namespaced,
    verbs: sorted(kind.verbs),
    singular: kind.singular,
    shortNames: sorted(kind.shortNames),
    categories: sorted(kind.categories),
    subresources: kind.subresources
      .map((s) => ({ name: s.name, kind: s.kind, verbs: sorted(s.verbs) }))
      .sort((a, b) => (a.name < b.name ? -1 : 1)),
  }));
  const key = (r: { group: string; version: string; resource: string }) => `${r.group}/${r.version}/${r.resource}`;
  assert.deepEqual(own.map(key).sort(), wanted.map(key).sort());
  for (const reference of wanted) {
    assert.deepEqual(
      own.find((kind) => key(kind) === key(reference)),
      {
        ...reference,
        verbs: sorted(reference.verbs),
        shortNames: sorted(reference.shortNames),
      },
    );
  }
});
