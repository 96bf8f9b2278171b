/** How Go prints things that stand in error messages. */

const SHORT: Readonly<Record<string, string>> = {
  "\u0007": "\\a",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\v": "\\v",
  '"': '\\"',
  "\\": "\\\\",
};
/** What can't be printed: control and format characters, lone surrogates, every blank but the space. */
const SPECIAL = /["\\]|(?! )[\p{C}\p{Z}]/gu;

/** The text in double quotes, as `%q` and strconv.Quote write it. Source: Go strconv, quote.go */
export function quoteGo(text: string): string {
  return `"${text.replace(SPECIAL, escapeGo)}"`;
}

function escapeGo(char: string): string {
  const short = SHORT[char];
  if (short !== undefined) return short;
  const code = char.codePointAt(0) ?? 0;
  if (code < 0x80) return `\\x${code.toString(16).padStart(2, "0")}`;
  // A lone surrogate can't stand in Go's UTF-8: it has become the replacement character on the way in.
  if (code >= 0xd800 && code < 0xe000) return "\ufffd";
  return code < 0x1_0000 ? `\\u${code.toString(16).padStart(4, "0")}` : `\\U${code.toString(16).padStart(8, "0")}`;
}

/** One text alone, several as `[a, b]`, each different one once. Source: util/errors, Aggregate.Error */
export function aggregateText(texts: readonly string[]): string {
  const different = [...new Set(texts)];
  return different.length === 1 ? (different[0] ?? "") : `[${different.join(", ")}]`;
}

/** Length in bytes of UTF-8: what Go's len() counts, and what upstream's limits mean. */
export function utf8Length(text: string): number {
  let length = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) continue;
    // A pair of surrogates is 4 bytes for 2 units, everything else from U+0800 on 3 bytes for one.
    if (unit < 0x800) length++;
    else if (unit >= 0xd800 && unit < 0xdc00 && isLowSurrogate(text.charCodeAt(i + 1))) {
      length += 2;
      i++;
    } else length += 2;
  }
  return length;
}

function isLowSurrogate(unit: number): boolean {
  return unit >= 0xdc00 && unit < 0xe000;
}

/** A JSON value as `%v` prints it: `map[a:1 b:[x y]]`. */
export function showGo(value: unknown): string {
  if (value === null || value === undefined) return "<nil>";
  if (Array.isArray(value)) return `[${value.map(showGo).join(" ")}]`;
  if (typeof value !== "object") return String(value);
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `map[${entries.map(([key, inner]) => `${key}:${showGo(inner)}`).join(" ")}]`;
}

/** The Go type that a decoded JSON value has. */
export function goTypeOf(value: unknown): string {
  if (Array.isArray(value)) return "[]interface {}";
  switch (typeof value) {
    case "object":
      return value === null ? "<nil>" : "map[string]interface {}";
    case "boolean":
      return "bool";
    case "number":
      return Number.isInteger(value) ? "int64" : "float64";
    case "bigint":
      return "int64";
    default:
      return "string";
  }
}
