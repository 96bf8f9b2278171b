/**
 * Label selectors, in the grammar of query parameters and as LabelSelector objects.
 * Source: kubernetes.io/docs/concepts/overview/working-with-objects/labels; k8s.io/apimachinery/pkg/labels
 */
import { fieldErrorText, invalid } from "./field-errors.ts";
import { keyPath } from "./field-path.ts";
import type { LabelSelector, LabelSelectorRequirement } from "./generated/meta-v1.ts";
import { aggregateText, quoteGo } from "./go-text.ts";
import { isLabelValue, isQualifiedName } from "./name-validation.ts";

export type Labels = Readonly<Record<string, string>>;
export const SelectorOperator = {
  In: "in",
  NotIn: "notin",
  Equals: "=",
  NotEquals: "!=",
  Exists: "exists",
  DoesNotExist: "!",
  GreaterThan: "gt",
  LessThan: "lt",
} as const;
export type SelectorOperator = (typeof SelectorOperator)[keyof typeof SelectorOperator];

export interface Requirement {
  readonly key: string;
  readonly operator: SelectorOperator;
  readonly values: readonly string[];
}

/** A conjunction of requirements; none matches everything. */
export class Selector {
  readonly requirements: readonly Requirement[];

  constructor(requirements: readonly Requirement[]) {
    this.requirements = requirements;
  }

  get isEmpty(): boolean {
    return this.requirements.length === 0;
  }

  matches(labels: Labels | undefined): boolean {
    for (const { key, operator, values } of this.requirements) {
      if (!meets(operator, values, labelOf(labels, key))) return false;
    }
    return true;
  }

  /** The one value that the label must have, if the selector asks for exactly one. */
  exactValue(key: string): string | undefined {
    const found = this.requirements.find((requirement) => requirement.key === key);
    const isExact = found !== undefined && (found.operator === "=" || found.operator === "in");
    return isExact && found.values.length === 1 ? found.values[0] : undefined;
  }

  toString(): string {
    return this.requirements.map(formatRequirement).join(",");
  }
}

/** A label may be called "constructor": only own keys count. */
function labelOf(labels: Labels | undefined, key: string): string | undefined {
  return labels !== undefined && Object.hasOwn(labels, key) ? labels[key] : undefined;
}

function meets(operator: SelectorOperator, values: readonly string[], value: string | undefined): boolean {
  switch (operator) {
    case "in":
    case "=":
      return value !== undefined && values.includes(value);
    case "notin":
    case "!=":
      return value === undefined || !values.includes(value);
    case "exists":
      return value !== undefined;
    case "!":
      return value === undefined;
    case "gt":
    case "lt": {
      const [bound] = values;
      if (!isInt64(value) || !isInt64(bound)) return false;
      return operator === "gt" ? BigInt(value) > BigInt(bound) : BigInt(value) < BigInt(bound);
    }
    default:
      return operator satisfies never;
  }
}

/** What strconv.ParseInt takes. */
function isInt64(text: string | undefined): text is string {
  return text !== undefined && /^[+-]?\d{1,19}$/.test(text) && BigInt.asIntN(64, BigInt(text)) === BigInt(text);
}

function formatRequirement({ key, operator, values }: Requirement): string {
  switch (operator) {
    case "exists":
      return key;
    case "!":
      return `!${key}`;
    case "=":
    case "!=":
      return `${key}${operator}${values[0] ?? ""}`;
    case "gt":
      return `${key}>${values[0] ?? ""}`;
    case "lt":
      return `${key}<${values[0] ?? ""}`;
    default:
      return `${key} ${operator} (${[...values].sort().join(",")})`;
  }
}

/** Thrown for text that is no selector; the message is made for clients (400). */
export class SelectorError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "SelectorError";
  }
}

type Token = { readonly kind: "word" | "sign" | "end"; readonly text: string };
const END: Token = { kind: "end", text: "" };
/** Longest sign first; anything else up to a blank or sign is a word. */
const TOKEN = /[ \t\r\n]*(?:(==|!=|[=!(),<>])|([^ \t\r\n=!(),<>]+))/y;

function tokensOf(text: string): Token[] {
  const tokens: Token[] = [];
  TOKEN.lastIndex = 0;
  for (let match = TOKEN.exec(text); match !== null; match = TOKEN.exec(text)) {
    const [, sign, word] = match;
    tokens.push(sign === undefined ? { kind: "word", text: word ?? "" } : { kind: "sign", text: sign });
  }
  return tokens;
}

const BINARY: Readonly<Record<string, SelectorOperator>> = {
  in: "in",
  notin: "notin",
  "=": "=",
  "==": "=",
  "!=": "!=",
  ">": "gt",
  "<": "lt",
};
const BINARY_NAMES = "in, notin, =, ==, !=, gt, lt";

/** Recursive descent over the tokens, in upstream's order of questions, because each has its own complaint. */
class SelectorParser {
  readonly #tokens: readonly Token[];
  #at = 0;

  constructor(text: string) {
    this.#tokens = tokensOf(text);
  }

  parse(): Requirement[] {
    const requirements: Requirement[] = [];
    if (this.#peek() === END) return requirements;
    if (!this.#startsRequirement()) {
      throw new SelectorError(`found '${this.#peek().text}', expected: !, identifier, or 'end of string'`);
    }
    for (;;) {
      requirements.push(this.#requirement());
      const next = this.#next();
      if (next === END) return requirements;
      if (next.text !== ",") throw new SelectorError(`found '${next.text}', expected: ',' or 'end of string'`);
      if (!this.#startsRequirement()) {
        throw new SelectorError(`found '${this.#peek().text}', expected: identifier after ','`);
      }
    }
  }

  #peek(): Token {
    return this.#tokens[this.#at] ?? END;
  }

  #next(): Token {
    const token = this.#peek();
    this.#at++;
    return token;
  }

  #startsRequirement(): boolean {
    const { kind, text } = this.#peek();
    return kind === "word" || text === "!";
  }

  #fail(token: Token, expected: string, separator = ", "): SelectorError {
    return new SelectorError(`unable to parse requirement: found '${token.text}'${separator}expected: ${expected}`);
  }

  #requirement(): Requirement {
    let token = this.#next();
    const isNegated = token.text === "!" && token.kind === "sign";
    if (isNegated) token = this.#next();
    if (token.kind !== "word") throw this.#fail(token, "identifier");
    const key = token.text;
    const complaints = isQualifiedName(key);
    if (complaints.length > 0) {
      // Upstream has no path for the key here and prints the nil one.
      const text = fieldErrorText(invalid("<nil>", key, complaints.join("; ")));
      throw new SelectorError(`unable to parse requirement: ${text}`);
    }
    if (this.#isAtEndOfTerm()) return { key, operator: isNegated ? "!" : "exists", values: [] };
    if (isNegated) return { key, operator: "!", values: [] };
    const sign = this.#next();
    const operator = Object.hasOwn(BINARY, sign.text) ? BINARY[sign.text] : undefined;
    if (operator === undefined) throw this.#fail(sign, BINARY_NAMES);
    const values = operator === "in" || operator === "notin" ? this.#values() : this.#exactValue();
    const requirement = { key, operator, values };
    const errors = requirementErrors(requirement);
    if (errors.length > 0) throw new SelectorError(`unable to parse requirement: ${aggregateText(errors)}`);
    return requirement;
  }

  #isAtEndOfTerm(): boolean {
    const token = this.#peek();
    return token === END || token.text === ",";
  }

  /** `=` followed by nothing asks for the empty value. */
  #exactValue(): string[] {
    if (this.#isAtEndOfTerm()) return [""];
    const token = this.#next();
    if (token.kind !== "word") throw this.#fail(token, "identifier");
    return [token.text];
  }

  /** `(a,,b)`: between two commas, and beside a lone one, stands the empty value. */
  #values(): string[] {
    const open = this.#next();
    if (open.text !== "(") throw this.#fail(open, "'('", " ");
    const first = this.#peek();
    if (first.text === ")") {
      this.#next();
      return [""];
    }
    if (first.kind !== "word" && first.text !== ",") throw this.#fail(first, "',', ')' or identifier");
    const values = new Set<string>();
    for (;;) {
      const token = this.#next();
      const follower = this.#peek().text;
      if (token.kind === "word") {
        values.add(token.text);
        if (follower !== "," && follower !== ")") throw this.#fail(this.#peek(), "',' or ')'");
      } else if (token.text === ",") {
        if (values.size === 0 || follower === ")" || follower === ",") values.add("");
      } else throw this.#fail(token, "',', or identifier");
      if (follower === ")") {
        this.#next();
        return [...values].sort();
      }
    }
  }
}

/** What upstream's constructor of requirements complains of, beyond the key. */
function requirementErrors({ key, operator, values }: Requirement): string[] {
  const errors = structuralErrors(operator, values);
  for (const [i, value] of values.entries()) {
    const complaints = isLabelValue(value);
    if (complaints.length > 0) {
      errors.push(fieldErrorText(invalid(keyPath(`values[${i}]`, key), value, complaints.join("; "))));
    }
  }
  return errors;
}

function structuralErrors(operator: SelectorOperator, values: readonly string[]): string[] {
  const wrong = (detail: string) => [fieldErrorText(invalid("values", values, detail))];
  switch (operator) {
    case "in":
    case "notin":
      return values.length === 0 ? wrong("for 'in', 'notin' operators, values set can't be empty") : [];
    case "=":
    case "!=":
      return values.length === 1 ? [] : wrong("exact-match compatibility requires one single value");
    case "exists":
    case "!":
      return values.length === 0 ? [] : wrong("values set must be empty for exists and does not exist");
    case "gt":
    case "lt":
      return values.flatMap((value, i) =>
        isInt64(value)
          ? []
          : [fieldErrorText(invalid(`values[${i}]`, value, "for 'Gt', 'Lt' operators, the value must be an integer"))],
      );
    default:
      return operator satisfies never;
  }
}

/** Keys are ASCII where they are valid. */
function byKey(a: Requirement, b: Requirement): number {
  return a.key < b.key ? -1 : Number(a.key > b.key);
}

/** Reads `a=b,c!=d,e in (f,g),!h,i`; requirements are sorted by key. Throws SelectorError in upstream's words. */
export function parseLabelSelector(text: string): Selector {
  return new Selector(new SelectorParser(text).parse().sort(byKey));
}

const OPERATORS: Readonly<Record<string, SelectorOperator>> = {
  In: "in",
  NotIn: "notin",
  Exists: "exists",
  DoesNotExist: "!",
};

function requirementOf({ key, operator, values = [] }: LabelSelectorRequirement): Requirement {
  const known = Object.hasOwn(OPERATORS, operator) ? OPERATORS[operator] : undefined;
  if (known === undefined) {
    throw new SelectorError(`${quoteGo(operator)} is not a valid label selector operator`);
  }
  const errors = structuralErrors(known, values);
  if (errors.length > 0) throw new SelectorError(aggregateText(errors));
  return { key, operator: known, values };
}

/**
 * A LabelSelector object as a Selector: absent matches nothing (undefined), empty matches everything. Throws SelectorError
 * for unknown operators and for values that they can't have; the syntax of keys and values is validation's business.
 */
export function selectorOf(selector: LabelSelector | undefined): Selector | undefined {
  if (selector === undefined) return undefined;
  const equalities = Object.entries(selector.matchLabels ?? {}).map(
    ([key, value]): Requirement => ({ key, operator: "=", values: [value] }),
  );
  const expressions = (selector.matchExpressions ?? []).map(requirementOf);
  return new Selector([...equalities, ...expressions].sort(byKey));
}

/** Absent matches nothing, empty everything. Throws SelectorError as selectorOf does. */
export function matchesLabelSelector(selector: LabelSelector | undefined, labels: Labels | undefined): boolean {
  if (selector === undefined) return false;
  const { matchLabels, matchExpressions = [] } = selector;
  for (const key in matchLabels) if (labelOf(labels, key) !== matchLabels[key]) return false;
  return matchExpressions.length === 0 || new Selector(matchExpressions.map(requirementOf)).matches(labels);
}

/** The selector as a query parameter's text, requirements sorted by key. */
export function formatLabelSelector(selector: LabelSelector | undefined): string {
  return selectorOf(selector)?.toString() ?? "";
}
