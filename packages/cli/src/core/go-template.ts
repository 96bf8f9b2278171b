/**
 * The part of Go's text/template that people use with -o go-template: fields, variables, pipelines, if/else/with/range,
 * comments, trim markers, and the predefined functions, with kubectl's `exists` and `base64decode`.
 * Source: pkg.go.dev/text/template; k8s.io/cli-runtime/pkg/printers/template.go
 */
import { CliError } from "../verb.ts";
import { templateFunctions } from "./go-template-functions.ts";
import { type Action, type Expression, type Operand, parseGoTemplate } from "./go-template-parser.ts";
import { goValue } from "./go-text.ts";

interface Scope {
  readonly root: unknown;
  readonly variables: Map<string, unknown>[];
}

class LoopSignal extends Error {
  readonly action: "break" | "continue";
  constructor(action: "break" | "continue") {
    super(action);
    this.action = action;
  }
}

/** Throws CliError for templates that can't be read or run. */
export function renderGoTemplate(template: string, value: unknown): string {
  const out: string[] = [];
  const scope: Scope = { root: value, variables: [new Map([["$", value]])] };
  run(parseGoTemplate(template), value, scope, out);
  return out.join("");
}

function run(actions: readonly Action[], dot: unknown, scope: Scope, out: string[]): void {
  for (const action of actions) {
    switch (action.kind) {
      case "text":
        out.push(action.text);
        break;
      case "output": {
        const value = evaluate(action.expression, dot, scope);
        if (action.expression.assign === undefined) out.push(value === undefined ? "<no value>" : goValue(value));
        break;
      }
      case "if":
        inScope(scope, () => {
          const test = evaluate(action.expression, dot, scope);
          run(isTrue(test) ? action.body : action.otherwise, dot, scope, out);
        });
        break;
      case "with":
        inScope(scope, () => {
          const value = evaluate(action.expression, dot, scope);
          if (isTrue(value)) run(action.body, value, scope, out);
          else run(action.otherwise, dot, scope, out);
        });
        break;
      case "range":
        inScope(scope, () => runRange(action, dot, scope, out));
        break;
      case "break":
      case "continue":
        throw new LoopSignal(action.kind);
    }
  }
}

function runRange(action: Extract<Action, { kind: "range" }>, dot: unknown, scope: Scope, out: string[]): void {
  const { expression } = action;
  const value = evaluate({ ...expression, assign: undefined }, dot, scope);
  const pairs = entriesOf(value);
  if (pairs.length === 0) {
    run(action.otherwise, dot, scope, out);
    return;
  }
  const names = expression.assign?.names ?? [];
  for (const [key, item] of pairs) {
    const loop = new Map<string, unknown>();
    const [first, second] = names;
    if (second !== undefined && first !== undefined) loop.set(first, key).set(second, item);
    else if (first !== undefined) loop.set(first, item);
    scope.variables.push(loop);
    try {
      run(action.body, item, scope, out);
    } catch (error) {
      if (!(error instanceof LoopSignal)) throw error;
      if (error.action === "break") break;
    } finally {
      scope.variables.pop();
    }
  }
}

function entriesOf(value: unknown): (readonly [unknown, unknown])[] {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value)) return value.map((item, i) => [i, item] as const);
  if (typeof value === "number") return Array.from({ length: value }, (_, i) => [i, i] as const);
  if (typeof value === "object") return Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  throw new CliError(`error executing template: range can't iterate over ${goValue(value)}`);
}

function inScope(scope: Scope, body: () => void): void {
  scope.variables.push(new Map());
  try {
    body();
  } finally {
    scope.variables.pop();
  }
}

function evaluate(expression: Expression, dot: unknown, scope: Scope): unknown {
  let value: unknown;
  for (const [index, command] of expression.commands.entries()) {
    const [head, ...args] = command;
    if (head === undefined) throw new CliError("error parsing template: missing value for command");
    const piped = index === 0 ? [] : [value];
    if (head.kind === "function") {
      const call = templateFunctions[head.name];
      if (call === undefined) throw new CliError(`error parsing template: function "${head.name}" not defined`);
      value = call(...args.map((arg) => () => operand(arg, dot, scope)), ...piped.map((p) => () => p));
    } else if (args.length > 0 || index > 0) {
      throw new CliError("error executing template: can't give argument to non-function");
    } else value = operand(head, dot, scope);
  }
  const { assign } = expression;
  if (assign !== undefined) setVariable(assign, value, scope);
  return value;
}

function setVariable(assign: NonNullable<Expression["assign"]>, value: unknown, scope: Scope): void {
  const [name = ""] = assign.names;
  const holder = assign.declares ? scope.variables.at(-1) : scope.variables.findLast((map) => map.has(name));
  if (holder === undefined) throw new CliError(`error parsing template: undefined variable "${name}"`);
  holder.set(name, value);
}

function operand(item: Operand, dot: unknown, scope: Scope): unknown {
  switch (item.kind) {
    case "literal":
      return item.value;
    case "dot":
      return fields(dot, item.path);
    case "variable": {
      const holder = scope.variables.findLast((map) => map.has(item.name));
      if (holder === undefined) throw new CliError(`error parsing template: undefined variable "${item.name}"`);
      return fields(holder.get(item.name), item.path);
    }
    case "group":
      return fields(evaluate(item.expression, dot, scope), item.path);
    case "function": {
      const call = templateFunctions[item.name];
      if (call === undefined) throw new CliError(`error parsing template: function "${item.name}" not defined`);
      return call();
    }
  }
}

function fields(value: unknown, path: readonly string[]): unknown {
  let current = value;
  for (const name of path) {
    if (current === undefined || current === null) return undefined;
    if (typeof current !== "object" || Array.isArray(current)) {
      throw new CliError(`error executing template: can't evaluate field ${name} in type ${typeNameOf(current)}`);
    }
    current = Object.hasOwn(current, name) ? (current as Record<string, unknown>)[name] : undefined;
  }
  return current;
}

function typeNameOf(value: unknown): string {
  if (Array.isArray(value)) return "[]interface {}";
  if (typeof value === "boolean") return "bool";
  return typeof value === "number" ? "float64" : "string";
}

export function isTrue(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0;
  if (typeof value === "object" && value !== null) return Object.keys(value).length > 0;
  return Boolean(value);
}
