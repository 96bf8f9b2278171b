/**
 * Label selectors, in the grammar of query parameters and as LabelSelector objects.
 * Source: kubernetes.io/docs/concepts/overview/working-with-objects/labels; k8s.io/apimachinery/pkg/labels
 */
import type { LabelSelector } from "./generated/meta-v1.ts";

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
    return this.requirements.every((requirement) => meets(requirement, labels?.[requirement.key]));
  }

  toString(): string {
    return this.requirements.map(formatRequirement).join(",");
  }
}

function meets({ operator, values }: Requirement, value: string | undefined): boolean {
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
      return isInteger(value) && BigInt(value) > BigInt(values[0] ?? "0");
    case "lt":
      return isInteger(value) && BigInt(value) < BigInt(values[0] ?? "0");
    default:
      return operator satisfies never;
  }
}

const isInteger = (text: string | undefined): text is string => text !== undefined && /^-?\d+$/.test(text);

function formatRequirement({ key, operator, values }: Requirement): string {
  const set = `(${[...values].sort().join(",")})`;
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
      return `${key} ${operator} ${set}`;
  }
}

/** Thrown for text that is no selector; the message is made for clients (400). */
export class SelectorError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "SelectorError";
  }
}

const NAME = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const KEY = new RegExp(`^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?${NAME}$`);
const VALUE = new RegExp(`^(${NAME})?$`);

/** Reads `a=b,c!=d,e in (f,g),!h,i`. Throws SelectorError. */
export function parseLabelSelector(text: string): Selector {
  const tokens = text.match(/\s+|[(),]|!=|==|[=!<>]|[^\s(),=!<>]+/g)?.filter((token) => token.trim() !== "") ?? [];
  const requirements: Requirement[] = [];
  let at = 0;
  const fail = (found: string | undefined, expected: string): never => {
    throw new SelectorError(`unable to parse requirement: found '${found ?? ""}', expected: ${expected}`);
  };
  const isWord = (token: string | undefined) => token !== undefined && !/^[(),=!<>]|^!=$/.test(token);
  while (at < tokens.length) {
    let operator: SelectorOperator = "exists";
    let values: string[] = [];
    if (tokens[at] === "!") {
      operator = "!";
      at++;
    }
    const key = tokens[at++];
    if (!isWord(key)) fail(key, "!, identifier, or 'end of string'");
    if (operator === "exists") {
      const sign = tokens[at];
      if (sign === "=" || sign === "==" || sign === "!=" || sign === ">" || sign === "<") {
        at++;
        operator = sign === "==" ? "=" : sign === ">" ? "gt" : sign === "<" ? "lt" : sign;
        values = [isWord(tokens[at]) ? (tokens[at++] ?? "") : ""];
      } else if (sign === "in" || sign === "notin") {
        at++;
        operator = sign;
        if (tokens[at] !== "(") fail(tokens[at], "'('");
        const end = tokens.indexOf(")", at);
        if (end < 0) fail("", "',', or ')'");
        values = setValues(tokens.slice(at + 1, end));
        at = end + 1;
      }
    }
    requirements.push(checked({ key: key ?? "", operator, values }));
    if (at < tokens.length) {
      if (tokens[at] !== ",") fail(tokens[at], "',' or 'end of string'");
      at++;
      if (at === tokens.length) fail("", "identifier after ','");
    }
  }
  return new Selector(requirements);
}

/** `a,,b` has an empty value between the commas. */
function setValues(tokens: readonly string[]): string[] {
  const values: string[] = [""];
  for (const token of tokens) {
    if (token === ",") values.push("");
    else values[values.length - 1] = token;
  }
  return values;
}

function checked(requirement: Requirement): Requirement {
  const { key, operator, values } = requirement;
  if (key.length > 317 || !KEY.test(key)) {
    throw new SelectorError(
      `key: Invalid value: ${JSON.stringify(key)}: name part must consist of alphanumeric characters, '-', '_' or '.', ` +
        `and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', ` +
        `regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')`,
    );
  }
  for (const value of values) {
    if ((operator === "gt" || operator === "lt") && !isInteger(value)) {
      throw new SelectorError(
        `values[0]: Invalid value: ${JSON.stringify(value)}: for 'Gt', 'Lt' operators, the value must be an integer`,
      );
    }
    if (value.length > 63 || !VALUE.test(value)) {
      throw new SelectorError(
        `values[0][${key}]: Invalid value: ${JSON.stringify(value)}: a valid label must be an empty string or consist of ` +
          `alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  ` +
          `or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')`,
      );
    }
  }
  return requirement;
}

const OPERATORS: Readonly<Record<string, SelectorOperator>> = {
  In: "in",
  NotIn: "notin",
  Exists: "exists",
  DoesNotExist: "!",
};

/** A LabelSelector object as a Selector: absent matches nothing (undefined), empty matches everything. */
export function selectorOf(selector: LabelSelector | undefined): Selector | undefined {
  if (selector === undefined) return undefined;
  const equalities = Object.entries(selector.matchLabels ?? {}).map(
    ([key, value]): Requirement => ({ key, operator: "=", values: [value] }),
  );
  const expressions = (selector.matchExpressions ?? []).map(({ key, operator, values }): Requirement => {
    const known = OPERATORS[operator];
    if (known === undefined) throw new SelectorError(`"${operator}" is not a valid label selector operator`);
    return { key, operator: known, values: values ?? [] };
  });
  return new Selector([...equalities, ...expressions]);
}

/** Absent matches nothing, empty everything. Throws SelectorError for an unknown operator. */
export function matchesLabelSelector(selector: LabelSelector | undefined, labels: Labels | undefined): boolean {
  return selectorOf(selector)?.matches(labels) ?? false;
}

/** The selector as a query parameter's text, requirements sorted by key. */
export function formatLabelSelector(selector: LabelSelector | undefined): string {
  const requirements = [...(selectorOf(selector)?.requirements ?? [])];
  return new Selector(requirements.sort((a, b) => (a.key < b.key ? -1 : 1))).toString();
}
