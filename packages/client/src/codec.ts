/** JSON bodies. */

/** Throws SyntaxError for anything but JSON. */
export function decodeJson(body: Buffer): unknown {
  return JSON.parse(body.toString("utf8"));
}

export function encodeJson(value: unknown): string {
  return JSON.stringify(value);
}
