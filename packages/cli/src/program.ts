/** The command line as a whole: global flags, verbs, and what a failure prints. */
import { Command, CommanderError } from "commander";
import { describeError, exitCodeOf } from "./errors.ts";
import { cobraArguments, collect, collectWhole } from "./flags.ts";
import { suggestionsFor } from "./suggestions.ts";
import type { CliContext, Verb } from "./verb.ts";
import { verbs } from "./verbs/index.ts";

/** Runs one invocation and returns its exit code. */
export async function runCli(argv: readonly string[], outer: CliContext): Promise<number> {
  const dashes = argv.indexOf("--");
  const afterDashes = dashes < 0 ? undefined : argv.slice(dashes + 1);
  const context = { ...outer, afterDashes, verbNames: verbs.map((verb) => verb.name) };
  const program = newProgram(context);
  await registerVerbs(program, argv, context);
  addGlobalFlags(program);
  try {
    await program.parseAsync(cobraArguments(program, argv), { from: "user" });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return reportUsage(error, program, argv, context);
    if (context.signal.aborted) return 130;
    const text = describeError(error);
    if (text !== "") context.stderr.write(`${text}\n`);
    return exitCodeOf(error);
  }
}

function newProgram(context: CliContext): Command {
  return new Command("knarr")
    .description("knarr runs and controls small Kubernetes clusters.")
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void context.stdout.write(text),
      // What is wrong with the flags is told below, in kubectl's words.
      writeErr: () => {},
    })
    .helpCommand("help [command]", "Help about any command");
}

type Flag = readonly [flags: string, description: string, parse?: (value: string, previous: string[]) => string[]];

const GLOBAL_FLAGS: readonly Flag[] = [
  ["--kubeconfig <path>", "kubeconfig file (default: $KUBECONFIG, ~/.kube/config)"],
  ["--context <name>", "context of the kubeconfig"],
  ["--cluster <name>", "cluster of the kubeconfig"],
  ["--user <name>", "user of the kubeconfig"],
  ["-n, --namespace <name>", "namespace of the request"],
  ["-s, --server <url>", "address of the API server"],
  ["--token <token>", "bearer token"],
  ["--as <user>", "user to impersonate"],
  ["--as-group <group>", "group to impersonate, can be repeated", collect],
  ["--as-uid <uid>", "UID to impersonate"],
  ["--as-user-extra <key=value>", "extra of the impersonated user, can be repeated", collectWhole],
  ["--certificate-authority <path>", "CA bundle that the server's certificate is checked with"],
  ["--client-certificate <path>", "client certificate"],
  ["--client-key <path>", "key of the client certificate"],
  ["--insecure-skip-tls-verify", "don't check the server's certificate"],
  ["--tls-server-name <name>", "name that the server's certificate is checked for"],
  ["--request-timeout <time>", "how long one request may take, 0 for no limit (default: 0)"],
  ["--warnings-as-errors", "end with 1 when the server sent warnings"],
  ["-v, --v <level>", "log level"],
];

/** All but those that the verb has of its own with another meaning (`create rolebinding --user`). */
function addGlobalFlags(program: Command): void {
  const own = new Set(descendants(program).flatMap((command) => command.options.map((option) => option.long)));
  for (const [flags, description, parse] of GLOBAL_FLAGS) {
    if (own.has(/--[\w-]+/.exec(flags)?.[0])) continue;
    if (parse === undefined) program.option(flags, description);
    else program.option(flags, description, parse);
  }
}

function descendants(command: Command): readonly Command[] {
  return command.commands.flatMap((inner) => [inner, ...descendants(inner)]);
}

/** Loads the verb that was asked for alone, which is what keeps the start short; all of them for the overview. */
async function registerVerbs(program: Command, argv: readonly string[], context: CliContext): Promise<void> {
  const first = verbs.find((verb) => verb.name === argv[0]);
  if (first !== undefined) return registerVerb(first, program, context);
  const words = argv.filter((word) => !word.startsWith("-"));
  // Flags before the verb: a flag's value may happen to be a verb's name (`-n get describe pods`).
  const named = verbs.filter((verb) => words.includes(verb.name));
  for (const verb of named.length > 0 ? named : verbs) await registerVerb(verb, program, context);
}

async function registerVerb(entry: (typeof verbs)[number], program: Command, context: CliContext): Promise<void> {
  const verb: Verb = await entry.load();
  const before = program.commands.length;
  verb.register(program, context);
  for (const command of program.commands.slice(before)) settle(command);
}

/** Subcommands take over how errors are told. */
function settle(command: Command): void {
  command.exitOverride().configureOutput(command.parent?.configureOutput() ?? {});
  for (const inner of command.commands) settle(inner);
}

/** Source: cobra's wording, which people and scripts know from kubectl. */
function reportUsage(error: CommanderError, program: Command, argv: readonly string[], context: CliContext): number {
  const say = (text: string) => void context.stderr.write(`${text}\n`);
  const help = `See '${pathOf(program, argv)} --help' for usage.`;
  const quoted = /'([^']*)'/.exec(error.message)?.[1] ?? "";
  switch (error.code) {
    case "commander.helpDisplayed":
    case "commander.version":
      return 0;
    case "commander.help":
      context.stdout.write(program.helpInformation());
      return error.exitCode === 1 && argv.length === 0 ? 0 : error.exitCode;
    case "commander.unknownOption": {
      const short = /^-([^-])/.exec(quoted)?.[1];
      say(
        short === undefined
          ? `error: unknown flag: ${quoted.split("=")[0]}`
          : `error: unknown shorthand flag: '${short}' in ${quoted}`,
      );
      say(help);
      return 1;
    }
    case "commander.optionMissingArgument": {
      const short = /^-(\w), /.exec(quoted)?.[1];
      const long = /(--[\w-]+)/.exec(quoted)?.[1] ?? quoted;
      const usesShort = short !== undefined && !argv.includes(long);
      say(
        usesShort ? `error: flag needs an argument: '${short}' in -${short}` : `error: flag needs an argument: ${long}`,
      );
      say(help);
      return 1;
    }
    case "commander.invalidArgument": {
      const [, flag = "", value = "", why = ""] =
        /option '(?:-\w, )?(--[\w-]+)[^']*' argument '(.*?)' is invalid\. (.*)/s.exec(error.message) ?? [];
      say(`error: invalid argument ${JSON.stringify(value)} for "${flag}" flag: ${why}`);
      say(help);
      return 1;
    }
    case "commander.missingMandatoryOptionValue":
      say(`error: required flag(s) "${/--([\w-]+)/.exec(error.message)?.[1] ?? quoted}" not set`);
      return 1;
    case "commander.unknownCommand": {
      const path = pathOf(program, argv);
      const near = suggestionsFor(
        quoted,
        verbs.map((v) => v.name),
      );
      say(`error: unknown command "${quoted}" for "${path}"`);
      if (near.length > 0) say(`\nDid you mean this?\n${near.map((name) => `\t${name}`).join("\n")}`);
      return 1;
    }
    default:
      say(error.message.startsWith("error: ") ? error.message : `error: ${error.message}`);
      say(help);
      return 1;
  }
}

function pathOf(program: Command, argv: readonly string[]): string {
  const names = [program.name()];
  let command = program;
  for (const word of argv) {
    const next = command.commands.find((c) => c.name() === word || c.aliases().includes(word));
    if (next === undefined) continue;
    names.push(word);
    command = next;
  }
  return names.join(" ");
}
