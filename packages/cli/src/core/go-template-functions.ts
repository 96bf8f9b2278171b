/** The functions that templates may call. Arguments come unevaluated, so that `and` and `or` stop early as Go's do. */
import { CliError } from "../verb.ts";
import { compactJson, goValue } from "./go-text.ts";

type Argument = () => unknown;

function truth(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0;
  if (typeof value === "object" && value !== null) return Object.keys(value).length > 0;
  return Boolean(value);
}

function comparable(a: unknown, b: unknown, name: string): [number | string, number | string] {
  if (typeof a === "number" && typeof b === "number") return [a, b];
  if (typeof a === "string" && typeof b === "string") return [a, b];
  throw new CliError(`error executing template: error calling ${name}: incompatible types for comparison`);
}

function lengthOf(value: unknown): number {
  if (typeof value === "string") return Buffer.byteLength(value);
  if (Array.isArray(value)) return value.length;
  if (typeof value === "object" && value !== null) return Object.keys(value).length;
  throw new CliError(`error executing template: error calling len: len of type ${typeof value}`);
}

function index(value: unknown, ...keys: unknown[]): unknown {
  return keys.reduce((current, key) => {
    if (Array.isArray(current)) {
      const at = Number(key);
      if (at >= 0 && at < current.length) return current[at] as unknown;
      throw new CliError(`error executing template: error calling index: index out of range: ${at}`);
    }
    if (typeof current === "object" && current !== null) return (current as Record<string, unknown>)[String(key)];
    if (current === undefined || current === null) {
      throw new CliError("error executing template: error calling index: index of untyped nil");
    }
    throw new CliError(`error executing template: error calling index: can't index item of type ${typeof current}`);
  }, value);
}

/** %v %s %d %q %t %x %f %% with width, `-` and `0`, which is what templates use. */
export function sprintf(format: string, ...values: unknown[]): string {
  let next = 0;
  const text = format.replace(/%([-+0 #]*)(\d+)?(?:\.(\d+))?([a-zA-Z%])/g, (_, flags, width, precision, verb) => {
    if (verb === "%") return "%";
    if (next >= values.length) return `%!${verb}(MISSING)`;
    const shown = formatOne(values[next++], String(verb), precision as string | undefined);
    const size = Number(width ?? 0);
    if (String(flags).includes("-")) return shown.padEnd(size);
    return shown.padStart(size, String(flags).includes("0") ? "0" : " ");
  });
  const extra = values.slice(next).map((v) => `${typeof v}=${goValue(v)}`);
  return extra.length === 0 ? text : `${text}%!(EXTRA ${extra.join(", ")})`;
}

function formatOne(value: unknown, verb: string, precision: string | undefined): string {
  if (verb === "q") return JSON.stringify(goValue(value));
  if (verb === "x") return typeof value === "number" ? value.toString(16) : Buffer.from(goValue(value)).toString("hex");
  if (verb === "f") return Number(value).toFixed(precision === undefined ? 6 : Number(precision));
  const text = goValue(value);
  return precision === undefined || verb !== "s" ? text : text.slice(0, Number(precision));
}

const spaced = (values: readonly unknown[]) =>
  // Print puts blanks between operands when neither is a string.
  values.reduce<string>((text, value, i) => {
    const between = i > 0 && typeof value !== "string" && typeof values[i - 1] !== "string" ? " " : "";
    return text + between + goValue(value);
  }, "");

const all = (args: readonly Argument[]) => args.map((arg) => arg());
const compare =
  (name: string, test: (a: number | string, b: number | string) => boolean) =>
  (...args: Argument[]) =>
    test(...comparable(args[0]?.(), args[1]?.(), name));

const ESCAPES: Readonly<Record<string, string>> = {
  "<": "&lt;",
  ">": "&gt;",
  "&": "&amp;",
  '"': "&#34;",
  "'": "&#39;",
};

export const templateFunctions: Readonly<Record<string, (...args: Argument[]) => unknown>> = {
  and: (...args) => {
    let value: unknown;
    for (const arg of args) {
      value = arg();
      if (!truth(value)) break;
    }
    return value;
  },
  or: (...args) => {
    let value: unknown;
    for (const arg of args) {
      value = arg();
      if (truth(value)) break;
    }
    return value;
  },
  not: (...args) => !truth(args[0]?.()),
  eq: (...args) => {
    const [first, ...others] = all(args);
    return others.some((other) => other === first);
  },
  ne: (...args) => args[0]?.() !== args[1]?.(),
  lt: compare("lt", (a, b) => a < b),
  le: compare("le", (a, b) => a <= b),
  gt: compare("gt", (a, b) => a > b),
  ge: compare("ge", (a, b) => a >= b),
  len: (...args) => lengthOf(args[0]?.()),
  index: (...args) => {
    const [value, ...keys] = all(args);
    return index(value, ...keys);
  },
  slice: (...args) => {
    const [value, from = 0, to] = all(args) as [string | unknown[], number?, number?];
    return value.slice(from, to);
  },
  print: (...args) => spaced(all(args)),
  println: (...args) => `${all(args).map(goValue).join(" ")}\n`,
  printf: (...args) => {
    const [format, ...values] = all(args);
    return sprintf(String(format), ...values);
  },
  html: (...args) => spaced(all(args)).replace(/[<>&"']/g, (c) => ESCAPES[c] ?? c),
  js: (...args) => JSON.stringify(spaced(all(args))).slice(1, -1),
  urlquery: (...args) => encodeURIComponent(spaced(all(args))).replaceAll("%20", "+"),
  exists: (...args) => {
    const [value, ...keys] = all(args);
    let current = value;
    for (const key of keys) {
      const found =
        typeof current === "object" && current !== null ? (current as Record<string, unknown>)[String(key)] : undefined;
      if (found === undefined) return false;
      current = found;
    }
    return true;
  },
  base64decode: (...args) => Buffer.from(String(args[0]?.() ?? ""), "base64").toString("utf8"),
  toJson: (...args) => compactJson(args[0]?.()),
};
