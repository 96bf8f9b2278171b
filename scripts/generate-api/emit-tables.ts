/**
 * Field tables of one package, as text that packages/api/src/schema.ts reads when a kind of the group-version is first needed.
 *
 * One line per struct, one member per field: [Go type, protobuf number, flags, extras]. Flags: e omitempty, z omitzero,
 * r required. A member "+N" is an embedded struct whose fields are inlined in JSON and nested under number N in protobuf.
 * "" holds what is true of the struct: m = its mapType, k = 1 when it has apiVersion and kind.
 */

import { banner } from "./emit-types.ts";
import { type FieldFacts, packageFacts, type StructFacts } from "./facts.ts";
import type { ApiPackage } from "./packages.ts";

function flags(field: FieldFacts): string {
  return `${field.omitEmpty ? "e" : ""}${field.omitZero ? "z" : ""}${field.required ? "r" : ""}`;
}

function extras(field: FieldFacts): Record<string, unknown> {
  return {
    ...("default" in field ? { d: field.default } : {}),
    ...(field.listType === undefined ? {} : { l: field.listType }),
    ...(field.listMapKeys === undefined ? {} : { lk: field.listMapKeys }),
    ...(field.patchStrategy === undefined ? {} : { ps: field.patchStrategy }),
    ...(field.patchMergeKey === undefined ? {} : { pk: field.patchMergeKey }),
    ...(field.mapType === undefined ? {} : { m: field.mapType }),
  };
}

function structLine(struct: StructFacts): string {
  const members: Record<string, unknown> = {};
  if (struct.atomic || struct.isKind) {
    members[""] = { ...(struct.atomic ? { m: "atomic" } : {}), ...(struct.isKind ? { k: 1 } : {}) };
  }
  for (const inline of struct.inlined) {
    if (!inline.type.endsWith("TypeMeta")) members[`+${inline.number}`] = inline.type;
  }
  for (const field of struct.fields) {
    const more = extras(field);
    const tuple = [field.type, field.number, flags(field)];
    members[field.name] = Object.keys(more).length === 0 ? tuple : [...tuple, more];
  }
  return JSON.stringify({ [struct.name]: members }).slice(1, -1);
}

/** Named non-struct types: Go type, and for +enum types their values. */
function namedLine(home: ApiPackage, name: string): string {
  const named = home.go.named.get(name);
  if (named === undefined) return "";
  const values = [...home.go.constants.values()].filter(
    (c) => named.isEnum && c.type === name && c.value.startsWith('"'),
  );
  const enumValues = [...new Set(values.map((c) => JSON.parse(c.value) as string))].sort();
  return JSON.stringify({ [name]: enumValues.length === 0 ? [named.type] : [named.type, enumValues] }).slice(1, -1);
}

export function emitTable(home: ApiPackage): string {
  const structs = packageFacts(home).map(structLine);
  const named = [...home.go.named.keys()].sort().map((name) => namedLine(home, name));
  const text = `{"structs":{\n${structs.join(",\n")}\n},"named":{\n${named.join(",\n")}\n}}`;
  const literal = text.replace(/\\/g, "\\\\").replace(/`/g, "\\`").replace(/\$\{/g, "\\${");
  return `${banner}export const table = \`${literal}\`;\n`;
}
