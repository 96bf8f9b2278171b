/**
 * The body of a list in protobuf: the list's message is {1: metadata, 2: items...}, and its length stands before it, so
 * the items are encoded first. Other requests have their turn in between.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import { structSchema } from "@knarr/api/schema.ts";
import type { JsonObject } from "@knarr/apimachinery/schema.ts";
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import { JSON_TYPE, YAML_TYPE } from "../http/media-type.ts";
import {
  ENVELOPE_TAIL,
  encodeMessage,
  envelopeHead,
  itemHead,
  protobufSchema,
  type TypeMeta,
} from "../protobuf/encode.ts";

/** Objects encoded in one go: about ten milliseconds. */
const TURN_ITEMS = 200;

export interface ProtobufListSource {
  /** Of the list and of its items. */
  readonly list: TypeMeta;
  readonly item: TypeMeta;
  readonly metadata: JsonObject;
  readonly length: number;
  /** The item at a place, without regard to kind and apiVersion. */
  readonly at: (index: number) => JsonObject;
}

/** Pieces to be written one after the other. Throws 406 when the kind has no protobuf form. */
export async function encodeProtobufList(source: ProtobufListSource): Promise<Buffer[]> {
  const schema = protobufSchema(source.item.apiVersion, source.item.kind);
  if (schema === undefined) throw statusErrors.notAcceptable([JSON_TYPE, YAML_TYPE]);
  const metadata = encodeMessage(source.metadata, structSchema("meta/v1", "ListMeta"));
  const pieces = [itemHead(1, metadata.length), metadata];
  for (let at = 0; at < source.length; at += 1) {
    const item = encodeMessage(source.at(at), schema);
    pieces.push(itemHead(2, item.length), item);
    if (at % TURN_ITEMS === TURN_ITEMS - 1) await nextTurn();
  }
  const rawLength = pieces.reduce((sum, piece) => sum + piece.length, 0);
  return [envelopeHead(source.list, rawLength), ...pieces, ENVELOPE_TAIL];
}
