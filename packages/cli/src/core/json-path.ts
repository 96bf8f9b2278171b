/**
 * kubectl's JSONPath templates: text around {expressions}, {range}...{end}, filters, unions, slices, recursive descent.
 * Source: kubernetes.io/docs/reference/kubectl/jsonpath, k8s.io/client-go/util/jsonpath. Regular expressions are not
 * supported there either.
 */
import { CliError } from "../verb.ts";
import { goText } from "./go-text.ts";
import { type Filter, type Node, parseTemplate, type Step } from "./json-path-parser.ts";

export interface JsonPathOptions {
  /** Absent keys give nothing instead of an error, as `kubectl get` has it. */
  readonly allowMissingKeys: boolean;
}

/** kubectl's relaxed form for --sort-by, custom columns and `wait`: `.a.b`, `a.b`, `{.a.b}` are one. */
export function relaxedPath(text: string): string {
  const inner = /^\{(.*)\}$/s.exec(text.trim())?.[1] ?? text.trim();
  return `{${inner.startsWith(".") || inner.startsWith("[") || inner.startsWith("$") ? inner : `.${inner}`}}`;
}

/** The template's text for `value`. Throws CliError in kubectl's words for bad templates and absent keys. */
export function renderJsonPath(template: string, value: unknown, options: JsonPathOptions): string {
  const out: string[] = [];
  renderNodes(parseTemplate(template), value, value, options, out);
  return out.join("");
}

/** All values that the template's expressions find, in order. */
export function findValues(template: string, value: unknown, options: JsonPathOptions): unknown[] {
  return parseTemplate(template).flatMap((node) =>
    node.kind === "path" ? walk(node.steps, [value], value, options) : [],
  );
}

function renderNodes(
  nodes: readonly Node[],
  current: unknown,
  root: unknown,
  options: JsonPathOptions,
  out: string[],
): void {
  for (const node of nodes) {
    if (node.kind === "text") out.push(node.text);
    else if (node.kind === "range") {
      for (const item of walk(node.steps, [current], root, options)) {
        renderNodes(node.body, item, root, options, out);
      }
    } else {
      out.push(
        walk(node.steps, [current], root, options)
          .map((v) => goText(v))
          .join(" "),
      );
    }
  }
}

function walk(
  steps: readonly Step[],
  start: readonly unknown[],
  root: unknown,
  options: JsonPathOptions,
): readonly unknown[] {
  let values = start;
  for (const step of steps) values = values.flatMap((value) => stepInto(step, value, root, options));
  return values;
}

function stepInto(step: Step, value: unknown, root: unknown, options: JsonPathOptions): readonly unknown[] {
  switch (step.kind) {
    case "root":
      return [root];
    case "literal":
      return [step.value];
    case "field":
      return fieldOf(step.name, value, options);
    case "wildcard":
      return childrenOf(value);
    case "recursive":
      return descendantsOf(value);
    case "slice":
      return sliceOf(step, value, options);
    case "union":
      return step.branches.flatMap((branch) => walk(branch, [value], root, options));
    case "filter":
      return childrenOf(value).filter((item) => passes(step.filter, item, root));
  }
}

function fieldOf(name: string, value: unknown, options: JsonPathOptions): readonly unknown[] {
  if (typeof value === "object" && value !== null && !Array.isArray(value) && Object.hasOwn(value, name)) {
    return [(value as Record<string, unknown>)[name]];
  }
  if (options.allowMissingKeys) return [];
  throw new CliError(`${name} is not found`);
}

function childrenOf(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  if (typeof value !== "object" || value === null) return [];
  // Go's maps are walked in the order of their keys.
  return Object.entries(value)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, inner]) => inner);
}

function descendantsOf(value: unknown): readonly unknown[] {
  return [value, ...childrenOf(value).flatMap(descendantsOf)].filter((v) => typeof v === "object" && v !== null);
}

function sliceOf(step: Extract<Step, { kind: "slice" }>, value: unknown, options: JsonPathOptions): readonly unknown[] {
  if (!Array.isArray(value)) {
    if (value === undefined || value === null || options.allowMissingKeys) return [];
    throw new CliError("is not array or slice");
  }
  const { from, to, by } = step;
  const { length } = value;
  const absolute = (index: number) => (index < 0 ? index + length : index);
  if (step.single) {
    const index = absolute(from ?? 0);
    if (index >= 0 && index < length) return [value[index]];
    throw new CliError(`array index out of bounds: index ${from ?? 0}, length ${length}`);
  }
  const start = Math.max(0, absolute(from ?? 0));
  const end = Math.min(length, absolute(to ?? length));
  return value.slice(start, Math.max(start, end)).filter((_, i) => i % (by ?? 1) === 0);
}

function passes(filter: Filter, item: unknown, root: unknown): boolean {
  const options = { allowMissingKeys: true };
  const left = walk(filter.left, [item], root, options);
  if (filter.operator === "exists") return left.length > 0;
  const right = walk(filter.right, [item], root, options);
  if (left.length > 1 || right.length > 1) throw new CliError("can only compare one element at a time");
  if (left.length === 0 || right.length === 0) return false;
  return compare(left[0], filter.operator, right[0]);
}

function compare(left: unknown, operator: Exclude<Filter["operator"], "exists">, right: unknown): boolean {
  const numbers = typeof left === "number" && typeof right === "number";
  const [a, b] = numbers ? [left, right] : [goText(left), goText(right)];
  switch (operator) {
    case "==":
      return a === b;
    case "!=":
      return a !== b;
    case "<":
      return a < b;
    case "<=":
      return a <= b;
    case ">":
      return a > b;
    case ">=":
      return a >= b;
  }
}
