/**
 * A daemon's flags as one declared table: names, types, defaults, units and help in one place, read by `parseFlags`
 * and by the documentation. Values come out typed, validated and frozen.
 *
 * Example:
 *   const flags = { securePort: intFlag({ help: "HTTPS port", default: 10259, min: 0, max: 65535 }) };
 *   parseFlags({ name: "kube-scheduler", description: "...", flags }, ["--secure-port=0"]).securePort === 0
 */
import { Command, CommanderError, Option } from "commander";
import { KNARR_VERSION } from "./version.ts";

/** Wrong use of the command line: one line that names the flag and says what would be right. Exit code 1. */
export class UsageError extends Error {
  override readonly name: string = "UsageError";
  readonly exitCode: number;
  constructor(message: string, exitCode = 1) {
    super(message);
    this.exitCode = exitCode;
  }
}

export interface Flag<T> {
  readonly help: string;
  /** What stands for the value in help: "ms", "path", "host:port". Booleans have none. */
  readonly placeholder: string | undefined;
  readonly defaultText: string;
  /** Overrides the kebab-case of the table's key. */
  readonly name: string | undefined;
  readonly short: string | undefined;
  readonly required: boolean;
  readonly repeatable: boolean;
  /** Turns the texts given (at least one) into the value, or throws an Error saying what the value must be. */
  readonly parse: (texts: readonly string[]) => T;
  readonly fallback: () => T;
}

interface CommonOptions {
  readonly help: string;
  readonly name?: string;
  readonly short?: string;
  readonly required?: boolean;
}

function makeFlag<T>(
  options: CommonOptions,
  rest: {
    placeholder?: string;
    fallback: () => T;
    defaultText: string;
    repeatable?: boolean;
    parse: (t: readonly string[]) => T;
  },
): Flag<T> {
  return {
    help: options.help,
    name: options.name,
    short: options.short,
    required: options.required ?? false,
    placeholder: rest.placeholder,
    defaultText: rest.defaultText,
    repeatable: rest.repeatable ?? false,
    parse: rest.parse,
    fallback: rest.fallback,
  };
}

const lastOf = (texts: readonly string[]): string => texts.at(-1) ?? "";

/** Text; "" when absent. `oneOf` closes the set of values. */
export function stringFlag(
  options: CommonOptions & { default?: string; placeholder?: string; oneOf?: readonly string[] },
): Flag<string> {
  const fallback = options.default ?? "";
  return makeFlag(options, {
    placeholder: options.placeholder ?? "string",
    defaultText: fallback,
    fallback: () => fallback,
    parse: (texts) => {
      const text = lastOf(texts);
      if (options.oneOf !== undefined && !options.oneOf.includes(text)) {
        throw new Error(`must be one of ${options.oneOf.map((v) => JSON.stringify(v)).join(", ")}`);
      }
      return text;
    },
  });
}

/** `--x`, `--x=true`, `--x=false`, as Go's flags. */
export function boolFlag(options: CommonOptions & { default: boolean }): Flag<boolean> {
  return makeFlag(options, {
    defaultText: String(options.default),
    fallback: () => options.default,
    parse: (texts) => {
      const text = lastOf(texts).toLowerCase();
      if (["true", "t", "1", ""].includes(text)) return true;
      if (["false", "f", "0"].includes(text)) return false;
      throw new Error("must be true or false");
    },
  });
}

/** A whole number within [min, max]. */
export function intFlag(
  options: CommonOptions & { default: number; min?: number; max?: number; unit?: string },
): Flag<number> {
  const { min = Number.MIN_SAFE_INTEGER, max = Number.MAX_SAFE_INTEGER } = options;
  return makeFlag(options, {
    placeholder: options.unit ?? "int",
    defaultText: String(options.default),
    fallback: () => options.default,
    parse: (texts) => {
      const text = lastOf(texts);
      const value = Number(text);
      if (!/^[+-]?\d+$/.test(text) || value < min || value > max) {
        throw new Error(`must be a whole number between ${min} and ${max}`);
      }
      return value;
    },
  });
}

/** A decimal number within [min, max]. */
export function floatFlag(options: CommonOptions & { default: number; min?: number; max?: number }): Flag<number> {
  const { min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY } = options;
  return makeFlag(options, {
    placeholder: "float",
    defaultText: String(options.default),
    fallback: () => options.default,
    parse: (texts) => {
      const value = Number(lastOf(texts));
      if (lastOf(texts) === "" || !(value >= min && value <= max)) {
        throw new Error(`must be a number between ${min} and ${max}`);
      }
      return value;
    },
  });
}

const DURATION_UNIT_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** Milliseconds of a Go duration such as "1m30s"; throws on anything else. Source: Go's time.ParseDuration. */
export function parseGoDurationMs(text: string): number {
  if (text === "0") return 0;
  const match = /^([+-]?)((?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|ms|s|m|h))+$/.exec(text);
  if (match === null) throw new Error(`must be a duration such as "30s" or "1m30s"`);
  let totalMs = 0;
  for (const [, number, unit] of text.matchAll(/(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)/g)) {
    totalMs += Number(number) * (DURATION_UNIT_MS[unit ?? ""] ?? 0);
  }
  return match[1] === "-" ? -totalMs : totalMs;
}

/** A Go duration; the value is in milliseconds, so the table's key ends in Ms and the flag's name doesn't. */
export function durationFlag(options: CommonOptions & { default: string }): Flag<number> {
  return makeFlag(options, {
    placeholder: "duration",
    defaultText: options.default,
    fallback: () => parseGoDurationMs(options.default),
    parse: (texts) => parseGoDurationMs(lastOf(texts)),
  });
}

/** Comma-separated and repeatable. */
export function listFlag(
  options: CommonOptions & { default?: readonly string[]; placeholder?: string },
): Flag<readonly string[]> {
  const fallback = Object.freeze([...(options.default ?? [])]);
  return makeFlag(options, {
    placeholder: options.placeholder ?? "strings",
    defaultText: fallback.join(","),
    repeatable: true,
    fallback: () => fallback,
    parse: (texts) => Object.freeze(texts.flatMap((t) => t.split(",")).filter((t) => t !== "")),
  });
}

/** Repeatable, each value taken whole: what holds commas itself. */
export function wholeListFlag(options: CommonOptions & { placeholder?: string }): Flag<readonly string[]> {
  const fallback: readonly string[] = Object.freeze([]);
  return makeFlag(options, {
    placeholder: options.placeholder ?? "strings",
    defaultText: "",
    repeatable: true,
    fallback: () => fallback,
    parse: (texts) => Object.freeze([...texts]),
  });
}

/** `a=1,b=2`, comma-separated and repeatable. */
export function mapFlag(
  options: CommonOptions & { default?: Readonly<Record<string, string>>; separator?: string },
): Flag<Readonly<Record<string, string>>> {
  const fallback = Object.freeze({ ...options.default });
  const separator = options.separator ?? "=";
  return makeFlag(options, {
    placeholder: `key${separator}value`,
    defaultText: Object.entries(fallback)
      .map(([k, v]) => `${k}${separator}${v}`)
      .join(","),
    repeatable: true,
    fallback: () => fallback,
    parse: (texts) => {
      const entries = texts
        .flatMap((t) => t.split(","))
        .filter((t) => t !== "")
        .map((pair): [string, string] => {
          const at = pair.indexOf(separator);
          if (at < 1) throw new Error(`must be key${separator}value pairs, got ${JSON.stringify(pair)}`);
          return [pair.slice(0, at).trim(), pair.slice(at + 1).trim()];
        });
      return Object.freeze(Object.fromEntries(entries));
    },
  });
}

// biome-ignore lint/suspicious/noExplicitAny: a table holds flags of different types
export type FlagTable = Readonly<Record<string, Flag<any>>>;
export type FlagValues<F extends FlagTable> = { readonly [K in keyof F]: F[K] extends Flag<infer T> ? T : never };

export interface FlagProgram<F extends FlagTable> {
  /** The daemon's name as users call it: "kube-apiserver". */
  readonly name: string;
  readonly description: string;
  readonly version?: string;
  readonly flags: F;
  /** Upstream flags that are accepted and do nothing here (with their dashes); each use is reported in `ignored`. */
  readonly ignored?: readonly string[];
}

/** "bindAddress" -> "bind-address"; a trailing Ms is our unit, not part of the flag: "syncPeriodMs" -> "sync-period". */
export function flagName(key: string, flag: Flag<unknown>): string {
  return flag.name ?? key.replace(/Ms$/, "").replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`);
}

/** What `parseFlags` returns besides the values: which ignored upstream flags were given. */
export interface ParsedFlags<F extends FlagTable> {
  readonly values: FlagValues<F>;
  readonly ignored: readonly string[];
}

/**
 * Reads `argv` (without interpreter and script). Throws UsageError for unknown flags, bad values, missing required
 * flags and stray arguments, and, with exit code 0, for --help and --version after printing them.
 */
export function parseFlags<F extends FlagTable>(program: FlagProgram<F>, argv: readonly string[]): ParsedFlags<F> {
  const command = new Command(program.name)
    .description(program.description)
    .version(program.version ?? KNARR_VERSION, "--version", "print the version and exit")
    .exitOverride()
    .configureOutput({ writeErr: () => {} })
    .allowExcessArguments(false);
  const given = new Map<string, string[]>();
  for (const [key, flag] of Object.entries(program.flags)) {
    command.addOption(optionOf(key, flag as Flag<unknown>, given));
  }
  const ignored: string[] = [];
  for (const name of program.ignored ?? []) {
    command.addOption(
      new Option(`${name} [value]`, "accepted for compatibility; no effect").hideHelp().argParser((value: string) => {
        ignored.push(name);
        return value;
      }),
    );
  }
  try {
    command.parse(normaliseWords(program.flags, argv), { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    throw new UsageError(error.message.replace(/^error: /, ""), error.exitCode === 0 ? 0 : 1);
  }
  for (const name of program.ignored ?? []) {
    if (argv.includes(name) && !ignored.includes(name)) ignored.push(name);
  }
  return { values: valuesOf(program.flags, given), ignored: Object.freeze(ignored) };
}

function optionOf(key: string, flag: Flag<unknown>, given: Map<string, string[]>): Option {
  const name = flagName(key, flag);
  const value = flag.placeholder === undefined ? "[bool]" : `<${flag.placeholder}>`;
  const short = flag.short === undefined ? "" : `-${flag.short}, `;
  const shown = flag.defaultText === "" ? "" : ` (default ${flag.defaultText})`;
  return new Option(`${short}--${name} ${value}`, `${flag.help}${shown}`).argParser((text: string) => {
    const texts = given.get(key) ?? [];
    texts.push(text);
    given.set(key, texts);
    return text;
  });
}

/**
 * Go's boolean flags never take the following word, so `--x` must not swallow it: `--x` becomes `--x=true`. And Go
 * takes `-v=4`, of which commander would read the value "=4".
 */
function normaliseWords(flags: FlagTable, argv: readonly string[]): string[] {
  const booleans = new Set(
    Object.entries(flags)
      .filter(([, f]) => f.placeholder === undefined)
      .flatMap(([key, f]) => [`--${flagName(key, f)}`, ...(f.short === undefined ? [] : [`-${f.short}`])]),
  );
  return argv.map((word) => (booleans.has(word) ? `${word}=true` : word).replace(/^-([A-Za-z])=/, "-$1"));
}

function valuesOf<F extends FlagTable>(flags: F, given: ReadonlyMap<string, string[]>): FlagValues<F> {
  const values: Record<string, unknown> = {};
  for (const [key, flag] of Object.entries(flags)) {
    const texts = given.get(key);
    const name = `--${flagName(key, flag)}`;
    if (texts === undefined) {
      if (flag.required) throw new UsageError(`required flag ${name} is not set`);
      values[key] = flag.fallback();
      continue;
    }
    try {
      values[key] = flag.parse(texts);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new UsageError(`invalid value ${JSON.stringify(texts.at(-1))} for ${name}: ${why}`);
    }
  }
  return Object.freeze(values) as FlagValues<F>;
}

/** The table's flags that were not given, for configuration files: `given` wins over the file, the file over defaults. */
export function givenFlags(flags: FlagTable, argv: readonly string[]): ReadonlySet<string> {
  const names = new Map(Object.entries(flags).map(([key, f]) => [`--${flagName(key, f)}`, key]));
  const result = new Set<string>();
  for (const word of argv) {
    const key = names.get(word.split("=", 1)[0] ?? "");
    if (key !== undefined) result.add(key);
  }
  return result;
}
