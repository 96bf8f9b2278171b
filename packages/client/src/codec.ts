/** JSON bodies: integers beyond 2^53 survive as bigint, both ways. */
import { parseJson, stringifyJson } from "@knarr/apimachinery/json.ts";

/** Throws JsonError for anything but JSON. */
export function decodeJson(body: Buffer): unknown {
  return parseJson(body);
}

export function encodeJson(value: unknown): string {
  return stringifyJson(value);
}
