/** Protobuf bodies drawn from a kind's field table, right and wrong. Pure. */
import { kindSchema, type StructSchema, type TypeSchema } from "@knarr/api/schema.ts";
import type { ResourceRef } from "@knarr/apimachinery/resource.ts";
import { WireWriter } from "../../src/protobuf/writer.ts";
import { hostileText, mutated } from "./hostile-values.ts";
import type { Random } from "./random.ts";

const MAX_DEPTH = 6;

export function randomProtobuf(random: Random, ref: ResourceRef<unknown>): Buffer {
  const schema = kindSchema(ref.group, ref.version, ref.kind);
  const meta = new WireWriter();
  meta.string(1, ref.group === "" ? ref.version : `${ref.group}/${ref.version}`).string(2, ref.kind);
  const message = schema === undefined ? new WireWriter() : randomMessage(random, schema, 0);
  // {1: metadata {1: name}} comes last and so wins or merges.
  if (random.chance(0.8)) message.message(1, new WireWriter().string(1, `fuzz-${random.word()}`));
  const envelope = new WireWriter().message(1, meta).bytes(2, message.finish());
  const body = Buffer.concat([Buffer.from("k8s\0"), envelope.finish()]);
  return random.chance(0.5) ? mutated(random, body) : body;
}

function randomMessage(random: Random, schema: StructSchema, depth: number): WireWriter {
  const writer = new WireWriter();
  for (const field of schema.fields.values()) {
    if (field.number <= 0 || !random.chance(depth < 3 ? 0.4 : 0.2)) continue;
    if (field.type.kind === "list") {
      for (let i = random.int(3); i > 0; i--) writeValue(random, writer, field.number, field.type.items, depth);
    } else writeValue(random, writer, field.number, field.type, depth);
  }
  return writer;
}

function writeValue(random: Random, writer: WireWriter, number: number, type: TypeSchema, depth: number): void {
  if (random.chance(0.03)) {
    writer.bytes(number, random.bytes(random.int(12)));
    return;
  }
  switch (type.kind) {
    case "struct":
      if (depth < MAX_DEPTH) writer.message(number, randomMessage(random, type.struct, depth + 1));
      return;
    case "map": {
      const entry = new WireWriter().string(1, random.chance(0.8) ? random.word() : hostileText(random));
      writeValue(random, entry, 2, type.values, depth + 1);
      writer.message(number, entry);
      return;
    }
    case "boolean":
      writer.bool(number, true);
      return;
    case "string":
      writer.string(number, random.chance(0.5) ? random.word() : hostileText(random));
      return;
    default:
      // Numbers, times, quantities, raw values: bytes that sometimes are what is meant.
      writer.bytes(
        number,
        random.chance(0.5) ? new WireWriter().string(1, hostileText(random)).finish() : random.bytes(6),
      );
  }
}
