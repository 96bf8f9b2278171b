/** Flags that many verbs share, and what makes commander read them as cobra does. */
import { parseGoDurationMs } from "@knarr/daemon/flags.ts";
import { type Command, InvalidArgumentError } from "commander";

export function collect(value: string, previous: readonly string[] = []): string[] {
  return [...previous, ...value.split(",").filter((v) => v !== "")];
}

/** For flags whose values may hold commas. */
export function collectWhole(value: string, previous: readonly string[] = []): string[] {
  return [...previous, value];
}

/** A boolean flag that is on unless `--name=false` is given. */
export function onByDefault(command: Command, name: string, description: string): Command {
  return command.option(`--${name}`, description, true).option(`--no-${name}`, `same as --${name}=false`);
}

/** A Go duration. Throws commander's error for what is none, which is told in cobra's words. */
export function duration(text: string): string {
  try {
    parseGoDurationMs(text);
    return text;
  } catch {
    throw new InvalidArgumentError(`time: invalid duration ${JSON.stringify(text)}`);
  }
}

/** A whole number, kept as text. */
export function integer(text: string): string {
  if (/^[+-]?\d+$/.test(text)) return text;
  throw new InvalidArgumentError(`strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`);
}

export interface FileOptions {
  readonly filename?: readonly string[];
  readonly kustomize?: string;
  readonly recursive?: boolean;
}

export function addFileFlags(command: Command): Command {
  return command
    .option("-f, --filename <names>", "files, folders, URLs or - for standard input", collect)
    .option("-k, --kustomize <folder>", "a kustomization's folder")
    .option("-R, --recursive", "read folders with their subfolders");
}

export interface SelectOptions extends FileOptions {
  readonly selector?: string;
  readonly fieldSelector?: string;
  readonly all?: boolean;
  readonly allNamespaces?: boolean;
  readonly local?: boolean;
}

export function addSelectFlags(command: Command): Command {
  return addFileFlags(command)
    .option("-l, --selector <query>", "label selector, e.g. app=web,tier!=cache")
    .option("--field-selector <query>", "field selector, e.g. status.phase=Running")
    .option("--all", "all objects of the given types in the namespace")
    .option("-A, --all-namespaces", "across all namespaces")
    .option("--local", "work on the files alone, without the server");
}

const TRUE = /^(true|t|1|TRUE|True|T)$/;
const FALSE = /^(false|f|0|FALSE|False|F)$/;

/**
 * cobra takes `--wait=false` for boolean flags and `-o=yaml` for short ones; commander knows neither. Rewrites the
 * arguments before `--` for the command that they name.
 */
export function cobraArguments(program: Command, argv: readonly string[]): string[] {
  const dashes = argv.indexOf("--");
  const own = dashes < 0 ? argv : argv.slice(0, dashes);
  let command = program;
  for (const word of own) {
    if (word.startsWith("-")) continue;
    const next = command.commands.find((c) => c.name() === word || c.aliases().includes(word));
    if (next !== undefined) command = next;
  }
  const all = [command, command.parent, program].flatMap((c) => c?.options ?? []);
  const known = (flag: string) => all.some((o) => o.long === flag);
  const isBoolean = (flag: string) => all.some((o) => o.long === flag && o.isBoolean());
  const rewritten = own.flatMap((word) => {
    const [, flag, value] = /^(--[a-z][\w-]*)=(.*)$/s.exec(word) ?? [];
    if (flag !== undefined && value !== undefined && isBoolean(flag)) {
      if (TRUE.test(value)) return [flag];
      const negative = flag.replace("--", "--no-");
      if (FALSE.test(value)) return known(negative) ? [negative] : [];
    }
    const [, letter, short] = /^-([A-Za-z])=(.*)$/s.exec(word) ?? [];
    return letter !== undefined && short !== undefined ? [`-${letter}`, short] : [word];
  });
  return dashes < 0 ? rewritten : [...rewritten, ...argv.slice(dashes)];
}
