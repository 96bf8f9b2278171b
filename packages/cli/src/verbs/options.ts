/** `knarr options`: the flags that every verb takes. */
import type { CliContext, Verb } from "../verb.ts";

export const options: Verb = {
  name: "options",
  register(program, context: CliContext) {
    program
      .command("options")
      .description("Print the list of flags inherited by all commands")
      .action(() => {
        context.stdout.write("The following options can be passed to any command:\n\n");
        for (const option of program.options) {
          context.stdout.write(`    ${option.flags}:\n\t${option.description}\n\n`);
        }
      });
  },
};
