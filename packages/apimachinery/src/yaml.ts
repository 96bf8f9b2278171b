/**
 * YAML as upstream reads it: one document to JSON, YAML 1.1 scalars, duplicate keys reported with their line, aliases
 * limited. Source: sigs.k8s.io/yaml, gopkg.in/yaml.v2
 */
import { type Document, isAlias, isMap, isScalar, LineCounter, parseAllDocuments, visit } from "yaml";

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

/** Aliases that one document may unfold to; far above honest use, far below a bomb. */
const MAX_ALIASES = 1000;
const MAX_DEPTH = 1000;

/**
 * Parses the only document of `text`; an empty text gives undefined. Duplicate keys are not an error here, the last one
 * counts, as in JSON; the caller decides. Throws YamlError with upstream's prefix.
 */
export function parseYaml(text: string): YamlResult {
  const lineCounter = new LineCounter();
  const documents = parseAllDocuments(text, {
    version: "1.1",
    uniqueKeys: false,
    merge: true,
    intAsBigInt: false,
    lineCounter,
    prettyErrors: false,
    logLevel: "silent",
  });
  if (!Array.isArray(documents)) return { value: undefined, duplicates: [] };
  const filled = documents.filter((document) => !isEmpty(document) || document.errors.length > 0);
  const [document, second] = filled;
  if (document === undefined) return { value: undefined, duplicates: [] };
  if (second !== undefined)
    throw new YamlError("error converting YAML to JSON: yaml: only one document is allowed in a request");
  const [error] = document.errors;
  if (error !== undefined) {
    const { line } = lineCounter.linePos(error.pos[0]);
    throw new YamlError(`error converting YAML to JSON: yaml: line ${line}: ${error.message.split("\n")[0]}`);
  }
  checkDepth(document);
  return { value: toValue(document), duplicates: duplicatesOf(document, lineCounter) };
}

function isEmpty({ contents }: Document): boolean {
  return contents === null || (isScalar(contents) && contents.value === null);
}

function toValue(document: Document): unknown {
  try {
    return jsonOf(document.toJS({ maxAliasCount: MAX_ALIASES }));
  } catch (cause) {
    if (!(cause instanceof ReferenceError)) throw cause;
    throw new YamlError("error converting YAML to JSON: yaml: document contains excessive aliasing");
  }
}

function checkDepth(document: Document): void {
  visit(document, {
    Collection(_key, _node, path) {
      if (path.length > MAX_DEPTH) throw new YamlError("error converting YAML to JSON: yaml: exceeded max depth");
    },
    Alias(_key, node) {
      if (isAlias(node) && node.resolve(document) === undefined) {
        throw new YamlError(`error converting YAML to JSON: yaml: unknown anchor '${node.source}' referenced`);
      }
    },
  });
}

function duplicatesOf(document: Document, lineCounter: LineCounter): string[] {
  const found: string[] = [];
  visit(document, {
    Map(_key, node) {
      if (!isMap(node)) return;
      const seen = new Set<string>();
      for (const { key } of node.items) {
        if (!isScalar(key)) continue;
        const name = String(key.value);
        if (seen.has(name)) {
          const { line } = lineCounter.linePos(key.range?.[0] ?? 0);
          found.push(`line ${line}: key ${JSON.stringify(name)} already set in map`);
        }
        seen.add(name);
      }
    },
  });
  return found;
}

/** Dates and binaries, which YAML 1.1 knows and JSON doesn't, become the text that stood there. */
function jsonOf(value: unknown): unknown {
  if (value instanceof Date) return value.toISOString().replace(/T00:00:00\.000Z$/, "");
  if (value instanceof Uint8Array) return new TextDecoder().decode(value);
  if (Array.isArray(value)) return value.map(jsonOf);
  if (typeof value !== "object" || value === null) return value;
  const result: Record<string, unknown> = {};
  for (const [key, inner] of Object.entries(value)) {
    Object.defineProperty(result, key, { value: jsonOf(inner), writable: true, enumerable: true, configurable: true });
  }
  return result;
}
