/**
 * Field tables as OpenAPI schemas, for v2 (definitions) and v3 (components). Pure. The tables hold facts, not texts: what is described
 * stands in descriptions.ts.
 * Source: k8s.io/kube-openapi/pkg/builder; extensions in docs reference/using-api/server-side-apply#merge-strategy.
 */
import type { FieldSchema, StructSchema, TypeSchema } from "@knarr/api/schema.ts";
import { descriptionOf } from "./descriptions.ts";

export type Json = { [key: string]: unknown };

export const QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity";
export const TIME = "io.k8s.apimachinery.pkg.apis.meta.v1.Time";
export const MICRO_TIME = "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime";
export const DURATION = "io.k8s.apimachinery.pkg.apis.meta.v1.Duration";
export const INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";
export const RAW = "io.k8s.apimachinery.pkg.runtime.RawExtension";
export const FIELDS_V1 = "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1";

/** Collects the schemas that a document refers to. */
export class SchemaSet {
  readonly version: 2 | 3;
  readonly schemas = new Map<string, Json>();
  readonly #prefix: string;

  constructor(version: 2 | 3) {
    this.version = version;
    this.#prefix = version === 3 ? "#/components/schemas/" : "#/definitions/";
  }

  /** Adds the struct and everything below it; returns a reference to it. */
  refTo(struct: StructSchema): Json {
    const name = struct.openApiName;
    if (!this.schemas.has(name)) {
      const schema: Json = {};
      // Registered before its fields are looked at: types refer to themselves.
      this.schemas.set(name, schema);
      Object.assign(schema, this.#structSchema(struct));
    }
    return { $ref: `${this.#prefix}${name}` };
  }

  addKind(struct: StructSchema, gvks: readonly Json[]): Json {
    const ref = this.refTo(struct);
    const schema = this.schemas.get(struct.openApiName);
    if (schema !== undefined) schema["x-kubernetes-group-version-kind"] = gvks;
    return ref;
  }

  #structSchema(struct: StructSchema): Json {
    const properties: Json = {};
    const required: string[] = [];
    for (const field of struct.fields.values()) {
      properties[field.name] = this.#fieldSchema(field, descriptionOf(struct, field.name));
      if (field.required) required.push(field.name);
    }
    const description = descriptionOf(struct, "");
    return {
      ...(description === undefined ? {} : { description }),
      type: "object",
      ...(required.length === 0 ? {} : { required: required.sort() }),
      ...(Object.keys(properties).length === 0 ? {} : { properties: sorted(properties) }),
      ...(struct.atomic ? { "x-kubernetes-map-type": "atomic" } : {}),
    };
  }

  #fieldSchema(field: FieldSchema, description: string | undefined): Json {
    const schema = this.#typeSchema(field.type);
    const extras: Json = description === undefined ? {} : { description };
    const fallback = field.default ?? (field.type.kind === "struct" && !field.pointer ? {} : undefined);
    // Source: handler.PruneDefaults: v2 stays as it was before there were defaults.
    if (fallback !== undefined && this.version === 3) extras.default = fallback;
    if (field.listType !== undefined) extras["x-kubernetes-list-type"] = field.listType;
    if (field.listMapKeys !== undefined) extras["x-kubernetes-list-map-keys"] = field.listMapKeys;
    if (field.mapType !== undefined && field.type.kind !== "struct") extras["x-kubernetes-map-type"] = field.mapType;
    if (field.patchStrategy !== undefined) extras["x-kubernetes-patch-strategy"] = field.patchStrategy;
    if (field.patchMergeKey !== undefined) extras["x-kubernetes-patch-merge-key"] = field.patchMergeKey;
    if (Object.keys(extras).length === 0) return schema;
    // Beside a $ref nothing else counts in OpenAPI 3.0.
    return this.version === 3 && "$ref" in schema ? { allOf: [schema], ...extras } : { ...schema, ...extras };
  }

  #typeSchema(type: TypeSchema): Json {
    switch (type.kind) {
      case "struct":
        return this.refTo(type.struct);
      case "list":
        return { type: "array", items: this.#itemSchema(type.items) };
      case "map":
        return { type: "object", additionalProperties: this.#itemSchema(type.values) };
      case "string":
        return type.enumValues === undefined
          ? { type: "string" }
          : { type: "string", enum: [...type.enumValues].sort() };
      case "boolean":
        return { type: "boolean" };
      case "int32":
      case "int64":
        return { type: "integer", format: type.kind };
      case "double":
        return { type: "number", format: "double" };
      case "bytes":
        return { type: "string", format: "byte" };
      case "any":
        return { type: "object" };
      default:
        return this.#named(type.kind);
    }
  }

  #itemSchema(type: TypeSchema): Json {
    const schema = this.#typeSchema(type);
    if (type.kind !== "struct") return schema;
    return this.version === 3 ? { allOf: [schema], default: {} } : schema;
  }

  #named(kind: "time" | "microTime" | "duration" | "quantity" | "intOrString" | "raw" | "fieldsV1"): Json {
    const v3 = this.version === 3;
    const [name, schema] = {
      time: [TIME, { type: "string", format: "date-time" }],
      microTime: [MICRO_TIME, { type: "string", format: "date-time" }],
      duration: [DURATION, { type: "string" }],
      quantity: [QUANTITY, v3 ? { oneOf: [{ type: "string" }, { type: "number" }] } : { type: "string" }],
      intOrString: [
        INT_OR_STRING,
        v3
          ? { oneOf: [{ type: "integer" }, { type: "string" }], format: "int-or-string" }
          : { type: "string", format: "int-or-string" },
      ],
      raw: [RAW, { type: "object" }],
      fieldsV1: [FIELDS_V1, { type: "object" }],
    }[kind] as [string, Json];
    this.schemas.set(name, schema);
    return { $ref: `${this.#prefix}${name}` };
  }
}

export function sorted(object: Json): Json {
  return Object.fromEntries(Object.entries(object).sort(([a], [b]) => (a < b ? -1 : 1)));
}
