/** `knarr attach`: the streams of a container that runs already. */

import type { Command } from "commander";
import { attachTo } from "../attach-to.ts";
import { connect } from "../connect.ts";
import { duration } from "../flags.ts";
import { podsOf } from "../pods-of.ts";
import { type CliContext, CliError, type GlobalOptions, type Verb } from "../verb.ts";

interface AttachOptions extends GlobalOptions {
  readonly container?: string;
  readonly stdin?: boolean;
  readonly tty?: boolean;
  readonly quiet?: boolean;
}

export const attach: Verb = {
  name: "attach",
  register(program, context) {
    program
      .command("attach")
      .description("Attach to a running container")
      .argument("[pod|type/name]", "a pod, or an object that owns pods")
      .option("-c, --container <name>", "container of the pod")
      .option("-i, --stdin", "pass standard input to the container")
      .option("-t, --tty", "standard input is a terminal")
      .option("-q, --quiet", "only what the container prints")
      .option("--pod-running-timeout <duration>", "how long to wait for the pod", duration, "1m0s")
      .action((word: string | undefined, _options: unknown, self: Command) =>
        runAttach(word, self.optsWithGlobals<AttachOptions>(), context),
      );
  },
};

async function runAttach(word: string | undefined, options: AttachOptions, context: CliContext): Promise<void> {
  if (word === undefined) throw new CliError("at least 1 argument is required for attach");
  const connection = await connect(options, context);
  const [pod] = await podsOf(word, connection, context.signal);
  if (pod === undefined) throw new CliError(`no pods found for ${word}`);
  const { phase } = pod.status ?? {};
  if (phase === "Succeeded" || phase === "Failed") {
    throw new CliError(`cannot attach a container in a completed pod; current phase is ${phase}`);
  }
  const wanted = { stdin: options.stdin === true, tty: options.tty === true };
  if (options.quiet !== true && wanted.stdin) {
    context.stderr.write("If you don't see a command prompt, try pressing enter.\n");
  }
  await attachTo(pod, options.container, wanted, connection, context);
}
