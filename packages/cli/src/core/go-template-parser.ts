/** The grammar of the templates that go-template.ts runs. Source: pkg.go.dev/text/template. */
import { CliError } from "../verb.ts";

export type Operand =
  | { readonly kind: "literal"; readonly value: unknown }
  | { readonly kind: "dot"; readonly path: readonly string[] }
  | { readonly kind: "variable"; readonly name: string; readonly path: readonly string[] }
  | { readonly kind: "group"; readonly expression: Expression; readonly path: readonly string[] }
  | { readonly kind: "function"; readonly name: string };

export interface Expression {
  readonly assign?: { readonly names: readonly string[]; readonly declares: boolean } | undefined;
  readonly commands: readonly (readonly Operand[])[];
}

export type Action =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "output"; readonly expression: Expression }
  | {
      readonly kind: "if" | "with";
      readonly expression: Expression;
      readonly body: readonly Action[];
      readonly otherwise: readonly Action[];
    }
  | {
      readonly kind: "range";
      readonly expression: Expression;
      readonly body: readonly Action[];
      readonly otherwise: readonly Action[];
    }
  | { readonly kind: "break" | "continue" };

interface Open {
  readonly keyword: "if" | "with" | "range";
  readonly expression: Expression;
  readonly body: Action[];
  otherwise: Action[] | undefined;
  readonly outer: Action[];
  /** `else if` opens an inner block that the outer block's end closes too. */
  readonly chained: boolean;
}

/** Throws CliError naming what is wrong. */
export function parseGoTemplate(template: string): readonly Action[] {
  const root: Action[] = [];
  const open: Open[] = [];
  let body = root;
  const begin = (keyword: Open["keyword"], text: string, chained: boolean) => {
    const block: Open = {
      keyword,
      expression: parseExpression(text),
      body: [],
      otherwise: undefined,
      outer: body,
      chained,
    };
    open.push(block);
    body = block.body;
  };
  const close = () => {
    for (;;) {
      const block = open.pop();
      if (block === undefined) throw new CliError("error parsing template: unexpected {{end}}");
      block.outer.push({
        kind: block.keyword,
        expression: block.expression,
        body: block.body,
        otherwise: block.otherwise ?? [],
      });
      body = block.outer;
      if (!block.chained) return;
    }
  };
  for (const part of split(template)) {
    if (part.text !== undefined) {
      if (part.text !== "") body.push({ kind: "text", text: part.text });
      continue;
    }
    const [, keyword = "", rest = ""] = /^(if|with|range|else|end|break|continue)\b\s*(.*)$/s.exec(part.inner) ?? [];
    if (keyword === "if" || keyword === "with" || keyword === "range") begin(keyword, rest, false);
    else if (keyword === "end") close();
    else if (keyword === "else") {
      const block = open.at(-1);
      if (block === undefined || block.otherwise !== undefined) {
        throw new CliError("error parsing template: unexpected {{else}}");
      }
      block.otherwise = [];
      body = block.otherwise;
      const [, nested, condition = ""] = /^(if|with)\s+(.*)$/s.exec(rest) ?? [];
      if (nested === "if" || nested === "with") begin(nested, condition, true);
    } else if (keyword === "break" || keyword === "continue") body.push({ kind: keyword });
    else if (!part.inner.startsWith("/*")) body.push({ kind: "output", expression: parseExpression(part.inner) });
  }
  if (open.length > 0) throw new CliError("error parsing template: unexpected EOF, an {{end}} is missing");
  return root;
}

type Part =
  | { readonly text: string; readonly inner?: undefined }
  | { readonly text?: undefined; readonly inner: string };

function split(template: string): Part[] {
  const parts: Part[] = [];
  let trimNext = false;
  let at = 0;
  for (;;) {
    const open = template.indexOf("{{", at);
    const raw = open < 0 ? template.slice(at) : template.slice(at, open);
    const text = trimNext ? raw.trimStart() : raw;
    if (open < 0) {
      parts.push({ text });
      return parts;
    }
    const close = closeOf(template, open + 2);
    let inner = template.slice(open + 2, close);
    const trimsBefore = /^-\s/.test(inner);
    parts.push({ text: trimsBefore ? text.trimEnd() : text });
    if (trimsBefore) inner = inner.slice(1);
    trimNext = /\s-$/.test(inner);
    if (trimNext) inner = inner.slice(0, -1);
    parts.push({ inner: inner.trim() });
    at = close + 2;
  }
}

function closeOf(template: string, from: number): number {
  let quote = "";
  for (let i = from; i < template.length - 1; i++) {
    const c = template[i] as string;
    if (quote !== "") {
      if (c === "\\" && quote !== "`") i++;
      else if (c === quote) quote = "";
    } else if (c === '"' || c === "`") quote = c;
    else if (c === "}" && template[i + 1] === "}") return i;
  }
  throw new CliError("error parsing template: unclosed action");
}

const TOKEN =
  /\s*(?:("(?:\\.|[^"\\])*"|`[^`]*`|'(?:\\.|[^'\\])')|(\$\w*)((?:\.\w+)*)|((?:\.\w+)+|\.)|(-?\d+(?:\.\d+)?)|([A-Za-z_]\w*)|(:=|[=|(),]))/y;

type Token =
  | { readonly kind: "operand"; readonly operand: Operand }
  | { readonly kind: "variable"; readonly name: string; readonly path: readonly string[] }
  | { readonly kind: "path"; readonly path: readonly string[]; readonly attached: boolean }
  | { readonly kind: "mark"; readonly mark: string };

function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  TOKEN.lastIndex = 0;
  const names = (path: string | undefined) => (path ?? "").split(".").filter((name) => name !== "");
  while (TOKEN.lastIndex < text.trimEnd().length) {
    const start = TOKEN.lastIndex;
    const found = TOKEN.exec(text);
    if (found === null)
      throw new CliError(
        `error parsing template: unexpected ${JSON.stringify(text.slice(start).trim()[0])} in operand`,
      );
    const [whole, quoted, variable, variablePath, path, number, word, mark] = found;
    if (quoted !== undefined) tokens.push({ kind: "operand", operand: { kind: "literal", value: unquote(quoted) } });
    else if (variable !== undefined) tokens.push({ kind: "variable", name: variable, path: names(variablePath) });
    else if (path !== undefined) {
      tokens.push({ kind: "path", path: names(path), attached: !/^\s/.test(whole) && text[start - 1] === ")" });
    } else if (number !== undefined) {
      tokens.push({ kind: "operand", operand: { kind: "literal", value: Number(number) } });
    } else if (word !== undefined) tokens.push({ kind: "operand", operand: wordOperand(word) });
    else tokens.push({ kind: "mark", mark: mark ?? "" });
  }
  return tokens;
}

function wordOperand(word: string): Operand {
  if (word === "true" || word === "false") return { kind: "literal", value: word === "true" };
  return word === "nil" ? { kind: "literal", value: null } : { kind: "function", name: word };
}

function unquote(text: string): unknown {
  if (text.startsWith("`")) return text.slice(1, -1);
  try {
    const value = JSON.parse(text.startsWith("'") ? `"${text.slice(1, -1)}"` : text) as string;
    return text.startsWith("'") ? value.codePointAt(0) : value;
  } catch {
    throw new CliError(`error parsing template: bad string ${text}`);
  }
}

function parseExpression(text: string): Expression {
  const tokens = tokenize(text);
  const at = tokens.findIndex((t) => t.kind === "mark" && (t.mark === ":=" || t.mark === "="));
  if (at < 0) return { commands: parsePipeline(tokens) };
  const names = tokens.slice(0, at).flatMap((t) => (t.kind === "variable" ? [t.name] : []));
  const mark = tokens[at];
  return {
    assign: { names, declares: mark?.kind === "mark" && mark.mark === ":=" },
    commands: parsePipeline(tokens.slice(at + 1)),
  };
}

function parsePipeline(tokens: readonly Token[]): Operand[][] {
  const commands: Operand[][] = [[]];
  let i = 0;
  while (i < tokens.length) {
    const token = tokens[i] as Token;
    const command = commands.at(-1) as Operand[];
    if (token.kind === "operand") command.push(token.operand);
    else if (token.kind === "variable") command.push(token);
    else if (token.kind === "path") {
      const last = command.at(-1);
      if (token.attached && last?.kind === "group") command[command.length - 1] = { ...last, path: token.path };
      else command.push({ kind: "dot", path: token.path });
    } else if (token.mark === "|") commands.push([]);
    else if (token.mark === "(") {
      const end = closingParenthesis(tokens, i);
      const inner = { commands: parsePipeline(tokens.slice(i + 1, end)) };
      command.push({ kind: "group", expression: inner, path: [] });
      i = end;
    } else throw new CliError(`error parsing template: unexpected ${JSON.stringify(token.mark)}`);
    i++;
  }
  if (commands.some((command) => command.length === 0)) {
    throw new CliError("error parsing template: missing value for command");
  }
  return commands;
}

function closingParenthesis(tokens: readonly Token[], open: number): number {
  let depth = 0;
  for (let i = open; i < tokens.length; i++) {
    const token = tokens[i] as Token;
    if (token.kind !== "mark") continue;
    if (token.mark === "(") depth++;
    if (token.mark === ")" && --depth === 0) return i;
  }
  throw new CliError("error parsing template: unclosed left paren");
}
