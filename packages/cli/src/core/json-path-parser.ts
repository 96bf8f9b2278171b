/** The grammar of kubectl's JSONPath templates. Source: k8s.io/client-go/util/jsonpath/parser.go (behaviour). */
import { CliError } from "../verb.ts";

export type Step =
  | { readonly kind: "root" }
  | { readonly kind: "literal"; readonly value: unknown }
  | { readonly kind: "field"; readonly name: string }
  | { readonly kind: "wildcard" }
  | { readonly kind: "recursive" }
  | {
      readonly kind: "slice";
      readonly single: boolean;
      readonly from?: number | undefined;
      readonly to?: number | undefined;
      readonly by?: number | undefined;
    }
  | { readonly kind: "union"; readonly branches: readonly (readonly Step[])[] }
  | { readonly kind: "filter"; readonly filter: Filter };

export interface Filter {
  readonly left: readonly Step[];
  readonly operator: "exists" | "==" | "!=" | "<" | "<=" | ">" | ">=";
  readonly right: readonly Step[];
}

export type Node =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "path"; readonly steps: readonly Step[] }
  | { readonly kind: "range"; readonly steps: readonly Step[]; readonly body: readonly Node[] };

/** Throws CliError naming what is wrong in the template. */
export function parseTemplate(template: string): readonly Node[] {
  const root: Node[] = [];
  const open: { steps: readonly Step[]; body: Node[]; outer: Node[] }[] = [];
  let body = root;
  for (const part of splitTemplate(template)) {
    if (part.text !== undefined) body.push({ kind: "text", text: part.text });
    else if (/^range(\s|$)/.test(part.inner)) {
      const inner: Node[] = [];
      open.push({ steps: parseSteps(part.inner.slice("range".length).trim()), body: inner, outer: body });
      body = inner;
    } else if (part.inner === "end") {
      const closed = open.pop();
      if (closed === undefined) throw new CliError("error parsing jsonpath: not in range, nothing to end");
      closed.outer.push({ kind: "range", steps: closed.steps, body: closed.body });
      body = closed.outer;
    } else if (/^["'].*["']$/s.test(part.inner)) body.push({ kind: "text", text: unquote(part.inner) });
    else body.push({ kind: "path", steps: parseSteps(part.inner) });
  }
  if (open.length > 0) throw new CliError("error parsing jsonpath: unclosed range, missing {end}");
  return root;
}

type Part =
  | { readonly text: string; readonly inner?: undefined }
  | { readonly text?: undefined; readonly inner: string };

function splitTemplate(template: string): Part[] {
  const parts: Part[] = [];
  let at = 0;
  while (at < template.length) {
    const open = template.indexOf("{", at);
    if (open < 0) {
      parts.push({ text: template.slice(at) });
      break;
    }
    if (open > at) parts.push({ text: template.slice(at, open) });
    const close = closingBrace(template, open);
    if (close < 0) throw new CliError("error parsing jsonpath: unclosed action");
    parts.push({ inner: template.slice(open + 1, close).trim() });
    at = close + 1;
  }
  return parts;
}

function closingBrace(text: string, open: number): number {
  let quote = "";
  for (let i = open + 1; i < text.length; i++) {
    const c = text[i] as string;
    if (quote !== "") {
      if (c === "\\") i++;
      else if (c === quote) quote = "";
    } else if (c === '"' || c === "'") quote = c;
    else if (c === "}") return i;
  }
  return -1;
}

function unquote(text: string): string {
  const escapes: Readonly<Record<string, string>> = { n: "\n", t: "\t", r: "\r" };
  return text.slice(1, -1).replace(/\\(.)/gs, (_, c: string) => escapes[c] ?? c);
}

function parseSteps(text: string): Step[] {
  const steps: Step[] = [];
  let rest = text;
  while (rest !== "") {
    const [step, length] = parseStep(rest);
    if (step !== undefined) steps.push(step);
    rest = rest.slice(length).trimStart();
  }
  return steps;
}

/** The first step of `text` and how many characters it takes. */
function parseStep(text: string): [Step | undefined, number] {
  if (text.startsWith("..")) return [{ kind: "recursive" }, text[2] === "[" || text[2] === "*" ? 2 : 1];
  if (text[0] === "$") return [{ kind: "root" }, 1];
  if (text[0] === "@") return [undefined, 1];
  if (text[0] === "[") return parseBracket(text);
  if (text[0] === "*") return [{ kind: "wildcard" }, 1];
  const quoted = /^(["'])((?:\\.|(?!\1).)*)\1/s.exec(text);
  if (quoted !== null) return [{ kind: "literal", value: unquote(quoted[0]) }, quoted[0].length];
  const number = /^[+-]?\d+(\.\d+)?/.exec(text);
  if (number !== null) return [{ kind: "literal", value: Number(number[0]) }, number[0].length];
  const constant = /^(true|false)\b/.exec(text);
  if (constant !== null) return [{ kind: "literal", value: constant[0] === "true" }, constant[0].length];
  const field = /^\.?((?:\\.|[^.[\]{}()\s=!<>,*|&])*)/s.exec(text);
  if (field === null || field[0] === "")
    throw new CliError(`error parsing jsonpath: unrecognized character in action: ${JSON.stringify(text[0])}`);
  const name = (field[1] ?? "").replace(/\\(.)/gs, "$1");
  return [name === "" ? undefined : { kind: "field", name }, field[0].length];
}

function parseBracket(text: string): [Step, number] {
  const end = closingBracket(text);
  if (end < 0) throw new CliError("error parsing jsonpath: unterminated array");
  const inner = text.slice(1, end).trim();
  const filter = /^\?\((.*)\)$/s.exec(inner);
  if (filter !== null) return [{ kind: "filter", filter: parseFilter(filter[1] ?? "") }, end + 1];
  const members = splitOutsideQuotes(inner, ",");
  if (members.length > 1) return [{ kind: "union", branches: members.map((m) => [parseMember(m.trim())]) }, end + 1];
  return [parseMember(inner), end + 1];
}

function parseMember(text: string): Step {
  if (text === "*") return { kind: "wildcard" };
  if (/^(["']).*\1$/s.test(text)) return { kind: "field", name: unquote(text) };
  const slice = /^(-?\d*)(:(-?\d*))?(:(-?\d+))?$/.exec(text);
  if (slice === null || text === "") throw new CliError(`error parsing jsonpath: invalid array index ${text}`);
  const number = (s: string | undefined) => (s === undefined || s === "" ? undefined : Number(s));
  return {
    kind: "slice",
    single: slice[2] === undefined,
    from: number(slice[1]),
    to: number(slice[3]),
    by: number(slice[5]),
  };
}

function closingBracket(text: string): number {
  let depth = 0;
  let quote = "";
  for (let i = 0; i < text.length; i++) {
    const c = text[i] as string;
    if (quote !== "") {
      if (c === "\\") i++;
      else if (c === quote) quote = "";
    } else if (c === '"' || c === "'") quote = c;
    else if (c === "[") depth++;
    else if (c === "]" && --depth === 0) return i;
  }
  return -1;
}

function splitOutsideQuotes(text: string, separator: string): string[] {
  const parts = [""];
  let quote = "";
  for (const c of text) {
    if (quote !== "") {
      if (c === quote) quote = "";
    } else if (c === '"' || c === "'") quote = c;
    else if (c === separator) {
      parts.push("");
      continue;
    }
    parts[parts.length - 1] += c;
  }
  return parts;
}

function parseFilter(text: string): Filter {
  const found = /^((?:"[^"]*"|'[^']*'|[^"'=!<>])*?)\s*(==|!=|<=|>=|<|>)\s*(.*)$/s.exec(text);
  if (found === null) return { left: parseSteps(text.trim()), operator: "exists", right: [] };
  const [, left = "", operator = "==", right = ""] = found;
  return { left: parseSteps(left.trim()), operator: operator as Filter["operator"], right: parseSteps(right.trim()) };
}
