/** `knarr plugin list`: programs named knarr-* and kubectl-* on the PATH. */
import { accessSync, constants, readdirSync } from "node:fs";
import { delimiter, join } from "node:path";
import type { Command } from "commander";
import { type CliContext, CliError, type Verb } from "../verb.ts";

export const plugin: Verb = {
  name: "plugin",
  register(program, context) {
    const parent = program.command("plugin").description("Provides utilities for interacting with plugins");
    parent
      .command("list")
      .description("List all visible plugin executables on a user's PATH")
      .option("--name-only", "names without folders")
      .action((_options: unknown, self: Command) =>
        list(self.opts<{ nameOnly?: boolean }>().nameOnly === true, context),
      );
  },
};

/** Every plugin on the PATH, the first of a name counting. */
export function findPlugins(env: CliContext["env"], missing: (text: string) => void): string[] {
  const found: string[] = [];
  for (const folder of (env.PATH ?? "").split(delimiter).filter((f) => f !== "")) {
    let names: string[];
    try {
      names = readdirSync(folder);
    } catch {
      missing(
        `Unable to read directory ${JSON.stringify(folder)} from your PATH: open ${folder}: no such file or directory. Skipping...`,
      );
      continue;
    }
    for (const name of names.filter((n) => /^(knarr|kubectl)-/.test(n)).sort()) {
      const path = join(folder, name);
      try {
        accessSync(path, constants.X_OK);
        found.push(path);
      } catch {
        // Not executable: no plugin.
      }
    }
  }
  return found;
}

function list(nameOnly: boolean, context: CliContext): void {
  const found = findPlugins(context.env, (text) => void context.stderr.write(`${text}\n`));
  if (found.length === 0) throw new CliError("unable to find any knarr plugins in your PATH");
  context.stdout.write("The following compatible plugins are available:\n\n");
  for (const path of found) context.stdout.write(`${nameOnly ? path.slice(path.lastIndexOf("/") + 1) : path}\n`);
}
