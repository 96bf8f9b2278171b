/**
 * Why a patched document does not become an object of its kind, in the words of upstream's converter, which takes it field by field
 * in the order of the Go types. Source: k8s.io/apimachinery/pkg/runtime/converter.go fromUnstructured
 */
import { goKind } from "./go-value.ts";
import { isJsonObject, type StructSchema, type TypeSchema } from "./schema.ts";

/** "cannot convert int64 to string"; undefined when everything has its type. */
export function conversionComplaint(document: unknown, struct: StructSchema): string | undefined {
  return complaintOf(document, { kind: "struct", struct }, "");
}

function complaintOf(value: unknown, type: TypeSchema, goType: string): string | undefined {
  if (value === null || value === undefined) return undefined;
  const kind = goKind(value);
  switch (type.kind) {
    case "struct": {
      if (!isJsonObject(value)) return `cannot restore struct from: ${kind}`;
      for (const [name, field] of type.struct.fields) {
        const complaint = complaintOf(value[name], field.type, field.goType);
        if (complaint !== undefined) return complaint;
      }
      return undefined;
    }
    case "list": {
      if (!Array.isArray(value)) return `cannot restore slice from ${kind}`;
      return firstOf(value, type.items, goType.replace(/^\*?\[\]/, ""));
    }
    case "map": {
      if (!isJsonObject(value)) return `cannot restore map from ${kind}`;
      return firstOf(Object.values(value), type.values, goType.replace(/^\*?map\[[^\]]*\]/, ""));
    }
    case "string":
    case "boolean":
    case "int32":
    case "int64":
    case "double":
      return scalarComplaint(kind, type.kind, goType.replace("*", ""));
    default:
      // These read JSON of their own.
      return undefined;
  }
}

function firstOf(values: readonly unknown[], type: TypeSchema, goType: string): string | undefined {
  for (const value of values) {
    const complaint = complaintOf(value, type, goType);
    if (complaint !== undefined) return complaint;
  }
  return undefined;
}

const KINDS = { string: "string", boolean: "bool", int32: "int32", int64: "int64", double: "float64" } as const;

/** Go converts numbers into texts and fractions into integers, JSON does not: of these it says that it cannot. */
function scalarComplaint(from: string, type: keyof typeof KINDS, goType: string): string | undefined {
  const to = KINDS[type];
  if (from === to) return undefined;
  const isNumber = from === "int64" || from === "float64";
  const isInteger = to === "int32" || to === "int64";
  if (from === "int64" && (isInteger || to === "float64")) return undefined;
  if ((from === "int64" && to === "string") || (isNumber && isInteger)) {
    return `cannot convert ${from} to ${/^[a-z]/.test(goType) ? goType : `v1.${goType}`}`;
  }
  return `unrecognized type: ${to}`;
}
