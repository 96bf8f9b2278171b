/**
 * JSON without loss: integers beyond 2^53 are kept as bigint, and written as numbers again.
 *
 * Go's int64 fields (generation, deployment revisions, CEL values) exceed what a JavaScript number holds. Almost no
 * document has such a number, so the plain parser is used unless a run of 16 digits where a value may stand says otherwise.
 */
import { jsonComplaint } from "./json-syntax.ts";
import { isJsonObject, type JsonObject, setKey } from "./schema.ts";

/**
 * Differs from upstream: 10,000 there. No kind of the API nests deeper than a few dozen levels, and every function of ours that
 * follows the nesting shall be allowed to call itself.
 */
const MAX_DEPTH = 1000;

export class JsonError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "JsonError";
  }
}

/** A byte order mark is not swallowed: as in Go, it is no JSON. */
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
const LONG_INTEGER = /(?:^|[[:,])\s*-?\d{16}/;

/**
 * Parses one JSON document. `__proto__` is an ordinary key, as in every JSON.parse. Throws JsonError with Go's complaint, or
 * when the nesting is too deep.
 */
export function parseJson(input: string | Uint8Array): unknown {
  const text = typeof input === "string" ? input : decoder.decode(input);
  checkDepth(text);
  try {
    return LONG_INTEGER.test(text) ? JSON.parse(text, keepIntegers) : JSON.parse(text);
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
    throw new JsonError(jsonComplaint(text) ?? cause.message, { cause });
  }
}

/** As `parseJson`, for what was parsed by it before it was stored: its depth is not looked at again. */
export function parseStoredJson(bytes: Buffer): unknown {
  const text = bytes.toString();
  return LONG_INTEGER.test(text) ? JSON.parse(text, keepIntegers) : JSON.parse(text);
}

/** A reviver that sees the source text of each number. Source: ECMAScript, JSON.parse source text access */
function keepIntegers(this: unknown, _key: string, value: unknown, context?: { source?: string }): unknown {
  if (typeof value !== "number" || Number.isSafeInteger(value)) return value;
  const source = context?.source ?? "";
  return /^-?\d{1,1000}$/.test(source) ? BigInt(source) : value;
}

/** Counts brackets outside strings, only for texts long enough to exceed the limit. */
function checkDepth(text: string): void {
  if (text.length <= MAX_DEPTH) return;
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const char = text.charCodeAt(i);
    if (char === 0x22) {
      i = endOfString(text, i);
      if (i < 0) return;
    } else if (char === 0x7b || char === 0x5b) {
      if (++depth > MAX_DEPTH) throw new JsonError("exceeded max depth");
    } else if (char === 0x7d || char === 0x5d) depth--;
  }
}

/** Where the string that begins at `start` ends; -1 when it doesn't. */
function endOfString(text: string, start: number): number {
  let end = text.indexOf('"', start + 1);
  while (end > 0) {
    let backslashes = 0;
    while (text.charCodeAt(end - 1 - backslashes) === 0x5c) backslashes++;
    if (backslashes % 2 === 0) return end;
    end = text.indexOf('"', end + 1);
  }
  return -1;
}

const rawJson = (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON;

/** JSON, compact unless indented; bigints are written as numbers, undefined fields left out. */
export function stringifyJson(value: unknown, indent = 0): string {
  try {
    return JSON.stringify(value, undefined, indent) ?? "null";
  } catch (error) {
    // The plain writer refuses bigints; few objects have one.
    if (!(error instanceof TypeError)) throw error;
    const asNumber = (_key: string, inner: unknown) => (typeof inner === "bigint" ? rawJson(String(inner)) : inner);
    return JSON.stringify(value, asNumber, indent);
  }
}

/** A deep copy of a JSON value; undefined fields vanish. Several times faster than structuredClone. */
export function cloneJson<T>(value: T): T {
  return cloneValue(value) as T;
}

function cloneValue(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(cloneValue);
  const copy: JsonObject = {};
  for (const key of Object.keys(value)) {
    const inner = (value as JsonObject)[key];
    if (inner !== undefined) setKey(copy, key, cloneValue(inner));
  }
  return copy;
}

/**
 * Byte for byte what Go's encoding/json writes for a map: keys sorted at every level, no spaces, `<`, `>`, `&`, U+2028
 * and U+2029 escaped. ControllerRevisions are compared by these bytes.
 */
export function stringifyCanonical(value: unknown): string {
  return escapedForGo(write(value));
}

/**
 * The characters that Go's encoder escapes in every string: `<`, `>`, `&`, U+2028, U+2029. What is read raw (the data of
 * ControllerRevisions) is compared with bytes that Go wrote.
 */
export function escapedForGo(json: string): string {
  return /[<>&\u2028\u2029]/.test(json) ? json.replace(/[<>&\u2028\u2029]/g, escapeForGo) : json;
}

/** These stand in strings only, where an escape is as good as the character. */
function escapeForGo(char: string): string {
  return `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

function write(value: unknown): string {
  if (value === null || value === undefined) return "null";
  if (typeof value === "bigint") return String(value);
  if (typeof value === "string") return writeString(value);
  if (Array.isArray(value)) return `[${value.map(write).join(",")}]`;
  if (!isJsonObject(value)) return JSON.stringify(value);
  let fields = "";
  for (const key of Object.keys(value).sort(compareUtf8)) {
    if (value[key] === undefined) continue;
    fields += `${fields === "" ? "" : ","}${writeString(key)}:${write(value[key])}`;
  }
  return `{${fields}}`;
}

/** Lone surrogates have become U+FFFD when Go read them. Both languages have short escapes for \b and \f (Go since 1.22). */
function writeString(text: string): string {
  return JSON.stringify(text.toWellFormed());
}

/**
 * Go sorts by bytes of UTF-8, which is the order of code points. Units of UTF-16 have the same order, but for surrogates:
 * they stand for what is beyond U+FFFF.
 */
export function compareUtf8(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x !== y) return codePointRank(x) - codePointRank(y);
  }
  return a.length - b.length;
}

function codePointRank(unit: number): number {
  return unit >= 0xd800 && unit < 0xe000 ? unit + 0x1_0000 : unit;
}
