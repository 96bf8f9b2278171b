/**
 * JSON without loss: integers beyond 2^53 are kept as bigint, and written as numbers again.
 *
 * Go's int64 fields (generation, deployment revisions, CEL values) exceed what a JavaScript number holds. Almost no
 * document has such a number, so the plain parser is used unless a run of 16 digits says otherwise.
 */

/** As encoding/json: deeper documents are an attack. */
const MAX_DEPTH = 10_000;

export class JsonError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "JsonError";
  }
}

const decoder = new TextDecoder("utf-8");

/**
 * Parses one JSON document. `__proto__` is an ordinary key, as in every JSON.parse. Throws JsonError with the parser's
 * complaint, or when the nesting is deeper than any Go client could read.
 */
export function parseJson(input: string | Uint8Array): unknown {
  const text = typeof input === "string" ? input : decoder.decode(input);
  checkDepth(text);
  try {
    return /\d{16}/.test(text) ? JSON.parse(text, keepIntegers) : JSON.parse(text);
  } catch (cause) {
    throw new JsonError(cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

/** A reviver that sees the source text of each number. Source: ECMAScript, JSON.parse source text access */
function keepIntegers(this: unknown, _key: string, value: unknown, context?: { source?: string }): unknown {
  if (typeof value !== "number" || Number.isSafeInteger(value)) return value;
  const source = context?.source ?? "";
  return /^-?\d+$/.test(source) ? BigInt(source) : value;
}

/** Counts brackets outside strings, only for texts long enough to be able to exceed the limit. */
function checkDepth(text: string): void {
  if (text.length < MAX_DEPTH) return;
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const char = text.charCodeAt(i);
    if (char === 0x22) {
      for (i++; i < text.length && text.charCodeAt(i) !== 0x22; i++) {
        if (text.charCodeAt(i) === 0x5c) i++;
      }
    } else if (char === 0x7b || char === 0x5b) {
      if (++depth > MAX_DEPTH) throw new JsonError("exceeded max depth");
    } else if (char === 0x7d || char === 0x5d) depth--;
  }
}

const rawJson = (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON;

/** Compact JSON; bigints are written as numbers, undefined fields left out. */
export function stringifyJson(value: unknown): string {
  try {
    return JSON.stringify(value) ?? "null";
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return JSON.stringify(value, (_key, inner) => (typeof inner === "bigint" ? rawJson(String(inner)) : inner));
  }
}

/**
 * Byte for byte what Go's encoding/json writes for a map: keys sorted at every level, no spaces, `<`, `>`, `&`, U+2028
 * and U+2029 escaped. ControllerRevisions are compared by these bytes.
 */
export function stringifyCanonical(value: unknown): string {
  return write(value)
    .replaceAll("<", "\\u003c")
    .replaceAll(">", "\\u003e")
    .replaceAll("&", "\\u0026")
    .replaceAll("\u2028", "\\u2028")
    .replaceAll("\u2029", "\\u2029");
}

function write(value: unknown): string {
  if (value === null || value === undefined) return "null";
  if (typeof value === "bigint") return String(value);
  if (typeof value === "string") return writeString(value);
  if (typeof value !== "object") return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(write).join(",")}]`;
  const fields = Object.entries(value)
    .filter(([, inner]) => inner !== undefined)
    // Go sorts by bytes of UTF-8, which is the order of code points; the default order is by UTF-16 units.
    .sort(([a], [b]) => compareCodePoints(a, b))
    .map(([key, inner]) => `${writeString(key)}:${write(inner)}`);
  return `{${fields.join(",")}}`;
}

/** Go has short escapes for \b and \f since 1.22, as JSON.stringify has. */
function writeString(text: string): string {
  return JSON.stringify(text);
}

function compareCodePoints(a: string, b: string): number {
  const x = [...a];
  const y = [...b];
  for (let i = 0; i < Math.min(x.length, y.length); i++) {
    const difference = (x[i]?.codePointAt(0) ?? 0) - (y[i]?.codePointAt(0) ?? 0);
    if (difference !== 0) return difference;
  }
  return x.length - y.length;
}
