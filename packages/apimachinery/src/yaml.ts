/**
 * YAML as upstream reads it: YAML 1.1 scalars as Go's yaml.v2 knows them, converted to JSON; duplicate keys reported with
 * their line, aliases limited. Source: sigs.k8s.io/yaml; gopkg.in/yaml.v2 resolve.go, decode.go
 *
 * The `yaml` package gives the tree; what a plain scalar means is decided here. Its own YAML 1.1 schema reads "8080:80" as
 * a number to the base of 60, and dates as dates; Go's does not.
 */
import {
  type Alias,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type ParsedNode,
  parseAllDocuments,
  type Scalar,
} from "yaml";
import { quoteGo } from "./go-text.ts";
import { type JsonObject, setKey } from "./schema.ts";

export class YamlError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "YamlError";
  }
}

export interface YamlResult {
  readonly value: unknown;
  /** `line 4: key "x" already set in map`. */
  readonly duplicates: readonly string[];
}

const MAX_DEPTH = 1000;
/** What aliases may add to a document that says much by them; honest ones stay far below. */
const MAX_ALIASED_NODES = 100_000;

const failure = (why: string) => new YamlError(`error converting YAML to JSON: yaml: ${why}`);

/**
 * Parses the only document of `text`; an empty text gives undefined. Duplicate keys are not an error here, the last one
 * counts, as in JSON; the caller decides. Throws YamlError with upstream's prefix.
 * Differs from upstream: more than one document is refused; there all but the first are ignored.
 */
export function parseYaml(text: string): YamlResult {
  const [result, second] = parseYamlDocuments(text);
  if (second !== undefined) throw failure("only one document is allowed in a request");
  return result ?? { value: undefined, duplicates: [] };
}

/** Every document that is not empty. Throws YamlError as parseYaml does. */
export function parseYamlDocuments(text: string): YamlResult[] {
  refuseDeepFlow(text);
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, {
    version: "1.1",
    schema: "failsafe",
    uniqueKeys: false,
    lineCounter: lines,
    prettyErrors: false,
    logLevel: "silent",
  });
  if (!Array.isArray(documents)) return [];
  return documents
    .filter((document) => document.errors.length > 0 || !isEmpty(document))
    .map((document) => {
      const [error] = document.errors;
      if (error !== undefined) {
        // The package composes nested nodes by recursion, and reports when that fails.
        if (error.message.includes("call stack")) throw failure("exceeded max depth");
        throw failure(`line ${lines.linePos(error.pos[0]).line}: ${error.message.split("\n")[0]}`);
      }
      const converter = new Converter(lines);
      return { value: converter.convert(document.contents), duplicates: converter.duplicates };
    });
}

/** Brackets open at once beyond which the package takes seconds to give up; no honest text comes near. */
const MAX_OPEN_BRACKETS = 10_000;

function refuseDeepFlow(text: string): void {
  if (text.length <= MAX_OPEN_BRACKETS) return;
  let open = 0;
  for (let i = 0; i < text.length; i++) {
    const char = text.charCodeAt(i);
    if (char === 0x5b || char === 0x7b) {
      if (++open > MAX_OPEN_BRACKETS) throw failure("exceeded max depth");
    } else if ((char === 0x5d || char === 0x7d) && open > 0) open--;
  }
}

function isEmpty({ contents }: Document.Parsed): boolean {
  return contents === null || (isScalar(contents) && contents.source === "" && contents.type === "PLAIN");
}

type Node = ParsedNode | null | undefined;

class Converter {
  readonly duplicates: string[] = [];
  /** By name, the last one before the place that is being read. Looked up: to search the document for each alias takes its square. */
  readonly #anchors = new Map<string, ParsedNode>();
  /** What is being read: an alias to one of these would contain itself. */
  readonly #open = new Set<ParsedNode>();
  readonly #lines: LineCounter;
  #aliasDepth = 0;
  #aliasedNodes = 0;
  #depth = 0;

  constructor(lines: LineCounter) {
    this.#lines = lines;
  }

  convert(node: Node): unknown {
    if (node === null || node === undefined) return null;
    if (this.#aliasDepth > 0 && ++this.#aliasedNodes > MAX_ALIASED_NODES) {
      throw failure("document contains excessive aliasing");
    }
    if (isAlias(node)) return this.#convertAlias(node);
    // Inside an alias the anchors are what they were.
    if (node.anchor !== undefined && this.#aliasDepth === 0) this.#anchors.set(node.anchor, node);
    if (isScalar(node)) return scalarValue(node);
    if (this.#depth >= MAX_DEPTH) throw failure("exceeded max depth");
    this.#depth++;
    this.#open.add(node);
    const value = isMap(node) ? this.#convertMap(node) : this.#convertList(node);
    this.#open.delete(node);
    this.#depth--;
    return value;
  }

  #convertAlias(node: Alias): unknown {
    const { source } = node;
    const target = this.#anchors.get(source);
    if (target === undefined) throw failure(`unknown anchor '${source}' referenced`);
    if (this.#open.has(target)) throw failure(`anchor '${source}' value contains itself`);
    this.#aliasDepth++;
    const value = this.convert(target);
    this.#aliasDepth--;
    return value;
  }

  #convertList(node: ParsedNode): unknown[] {
    return isSeq(node) ? node.items.map((item) => this.convert(item as Node)) : [];
  }

  #convertMap(node: ParsedNode): JsonObject {
    const result: JsonObject = {};
    const merged: JsonObject[] = [];
    const seen = new Set<string>();
    if (!isMap(node)) return result;
    for (const { key, value } of node.items as { key: Node; value: Node }[]) {
      if (isMergeKey(key)) {
        merged.push(...this.#mergedMaps(value));
        continue;
      }
      const name = keyText(this.convert(key));
      if (seen.has(name)) this.#report(key, name);
      seen.add(name);
      setKey(result, name, this.convert(value));
    }
    // What the map says itself goes before what it merges, and of that the first.
    for (const other of merged) {
      for (const name of Object.keys(other)) if (!Object.hasOwn(result, name)) setKey(result, name, other[name]);
    }
    return result;
  }

  #mergedMaps(value: Node): JsonObject[] {
    const converted = this.convert(value);
    const maps = Array.isArray(converted) ? converted : [converted];
    if (maps.every((map) => typeof map === "object" && map !== null && !Array.isArray(map))) return maps;
    throw failure("map merge requires map or sequence of maps as the value");
  }

  #report(key: Node, name: string): void {
    // Once is enough for what an alias repeats.
    if (this.#aliasDepth > 0) return;
    const { line } = this.#lines.linePos(key?.range?.[0] ?? 0);
    this.duplicates.push(`line ${line}: key ${quoteGo(name)} already set in map`);
  }
}

function isMergeKey(key: Node): boolean {
  return isScalar(key) && key.type === "PLAIN" && key.source === "<<";
}

/** Keys of JSON are text: true, 1 and null become what they look like. */
function keyText(key: unknown): string {
  if (typeof key === "string") return key;
  if (typeof key === "object" && key !== null) throw failure("invalid map key: a list or map");
  return String(key);
}

const TAG = "tag:yaml.org,2002:";

function scalarValue(node: Scalar): unknown {
  const text = typeof node.value === "string" ? node.value : String(node.value ?? "");
  const tag = node.tag?.startsWith(TAG) ? node.tag.slice(TAG.length) : undefined;
  if (tag === "str") return text;
  if (tag === "binary") return decodeBinary(text);
  if (node.type !== "PLAIN" && tag === undefined) return text;
  const value = plainValue(text);
  // Tags say what a scalar shall be; of numbers, only that a whole one may be a float.
  const isOther =
    (tag === "bool" && typeof value !== "boolean") ||
    (tag === "null" && value !== null) ||
    ((tag === "int" || tag === "float") && typeof value !== "number" && typeof value !== "bigint");
  if (isOther) throw failure(`cannot decode !!str ${quoteGo(text)} as a !!${tag}`);
  return value;
}

function decodeBinary(text: string): string {
  try {
    return atob(text.replace(/\s/g, ""));
  } catch (error) {
    if (error instanceof DOMException) throw failure("!!binary value contains invalid base64 data");
    throw error;
  }
}

const WORDS: ReadonlyMap<string, unknown> = new Map<string, unknown>([
  ...["", "~", "null", "Null", "NULL"].map((word) => [word, null] as const),
  ...["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"].map((word) => [word, true] as const),
  ...["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"].map((word) => [word, false] as const),
]);
const FLOAT = /^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$/;
const INFINITE = /^(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$/;
const RADIX: readonly (readonly [pattern: RegExp, prefix: string, skip: number])[] = [
  [/^0[xX][0-9a-fA-F]+$/, "0x", 2],
  [/^0[bB][01]+$/, "0b", 2],
  [/^0[oO][0-7]+$/, "0o", 2],
  [/^0[0-7]+$/, "0o", 1],
];

/** What a plain scalar means. Source: yaml.v2 resolve.go */
function plainValue(text: string): unknown {
  if (WORDS.has(text)) return WORDS.get(text);
  if (!/^[-+.0-9]/.test(text)) return text;
  // JSON has no such numbers: upstream fails when it writes them.
  if (INFINITE.test(text)) throw failure(`json: unsupported value: ${text.replace(".", "")}`);
  const plain = text.replaceAll("_", "");
  const sign = /^[-+]/.exec(plain)?.[0] ?? "";
  const digits = plain.slice(sign.length);
  if (/^(?:0|[1-9][0-9]*)$/.test(digits)) return integer(BigInt(digits), sign, plain);
  const radix = RADIX.find(([pattern]) => pattern.test(digits));
  if (radix !== undefined) return integer(BigInt(`${radix[1]}${digits.slice(radix[2])}`), sign, plain);
  return FLOAT.test(plain) ? finite(Number(plain), text) : text;
}

/** Integers that fit 64 bits; beyond them, floats. */
function integer(magnitude: bigint, sign: string, plain: string): unknown {
  const value = sign === "-" ? -magnitude : magnitude;
  if (value >= -(2n ** 63n) && value < 2n ** 64n) {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value;
  }
  return finite(Number(value), plain);
}

function finite(value: number, text: string): number | string {
  return Number.isFinite(value) ? value : text;
}
