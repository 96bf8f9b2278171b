/**
 * Writes OpenAPI documents in gnostic's protobuf form, by tables of its messages (v2-messages.ts, v3-messages.ts). Pure.
 * A part of a document that the tables don't know is an error, never left out: tests encode every document there is.
 * Source: github.com/google/gnostic-models
 */
import { WireWriter } from "../protobuf/writer.ts";
import type { Json } from "./schemas.ts";

/**
 * The number of a field and what it holds: string, bool, double, any, or the name of a message; with [] each of a list.
 * gnostic's "any" is a value as YAML text; JSON is YAML.
 */
export type Field = readonly [number: number, type: string];

/**
 * The fields of a message by the document's keys. "x-*" stands for each vendor extension and "*" for each key that has
 * no field of its own: repeated pairs of a name and a value.
 */
export interface Fields {
  readonly [key: string]: Field;
}

/** A message that holds a value as a whole in one of its fields: a oneof, or a mere wrapper. */
export class Wrapper {
  readonly fields: Fields;
  /** The name of the field that holds this value; undefined: none, the message is empty. */
  readonly choose: (value: unknown) => string | undefined;

  constructor(fields: Fields, choose: (value: unknown) => string | undefined) {
    this.fields = fields;
    this.choose = choose;
  }
}

export type Messages = Readonly<Record<string, Fields | Wrapper>>;

/** Throws for what the tables don't describe. */
export function encodeDocument(messages: Messages, document: Json): Buffer {
  return new DocumentEncoder(messages).message("Document", document).finish();
}

class DocumentEncoder {
  readonly #messages: Messages;

  constructor(messages: Messages) {
    this.#messages = messages;
  }

  message(type: string, value: unknown): WireWriter {
    const message = this.#messages[type];
    if (message === undefined) throw new TypeError(`no message ${type}`);
    const writer = new WireWriter();
    if (message instanceof Wrapper) {
      const chosen = message.choose(value);
      if (chosen !== undefined) this.#write(writer, fieldOf(type, message.fields, chosen), value, true);
      return writer;
    }
    for (const [key, one] of Object.entries(value as Json)) {
      const field = fieldOf(type, message, key);
      if (Object.hasOwn(message, key)) this.#write(writer, field, one, false);
      else writer.message(field[0], this.#write(new WireWriter().string(1, key), [2, field[1]], one, true));
    }
    return writer;
  }

  /** Zero is left out unless `explicit`: in a oneof it says which one it is. */
  #write(writer: WireWriter, [number, type]: Field, value: unknown, explicit: boolean): WireWriter {
    if (type.endsWith("[]")) {
      for (const one of value as unknown[]) this.#write(writer, [number, type.slice(0, -2)], one, true);
      return writer;
    }
    switch (type) {
      case "any":
        return writer.message(number, new WireWriter().string(2, JSON.stringify(value)));
      case "string":
        return explicit || value !== "" ? writer.bytes(number, Buffer.from(String(value))) : writer;
      case "bool":
        return explicit || value === true ? writer.varint(number, value === true ? 1 : 0) : writer;
      case "double":
        return explicit || value !== 0 ? writer.double(number, Number(value)) : writer;
      default:
        return writer.message(number, this.message(type, value));
    }
  }
}

function fieldOf(type: string, fields: Fields, key: string): Field {
  const name = Object.hasOwn(fields, key) ? key : key.startsWith("x-") && "x-*" in fields ? "x-*" : "*";
  const field = fields[name];
  if (field === undefined) throw new TypeError(`${type} has no field for ${JSON.stringify(key)}`);
  return field;
}
