/** `knarr exec`: runs a command in a container over a WebSocket (v5.channel.k8s.io), with a terminal when asked. */

import { core } from "@knarr/api/generated/resources.ts";
import { keyOf } from "@knarr/apimachinery/object.ts";
import { objectPath } from "@knarr/apimachinery/resource.ts";
import type { Command } from "commander";
import { connect } from "../connect.ts";
import { defaultContainer } from "../default-container.ts";
import { podsOf } from "../pods-of.ts";
import { runRemoteStreams } from "../remote-streams.ts";
import { type CliContext, CliError, type GlobalOptions, RemoteExitError, type Verb } from "../verb.ts";

interface ExecOptions extends GlobalOptions {
  readonly container?: string;
  readonly stdin?: boolean;
  readonly tty?: boolean;
}

export const exec: Verb = {
  name: "exec",
  register(program, context) {
    program
      .command("exec")
      .description("Execute a command in a container")
      .argument("[pod|type/name]", "a pod, or an object that owns pods")
      .argument("[command...]", "the command, after --")
      .option("-c, --container <name>", "container of the pod")
      .option("-i, --stdin", "pass standard input to the container")
      .option("-t, --tty", "standard input is a terminal")
      .action((word: string | undefined, words: string[], _options: unknown, command: Command) =>
        runExec(word, words, command.optsWithGlobals<ExecOptions>(), context),
      );
  },
};

async function runExec(
  word: string | undefined,
  words: string[],
  options: ExecOptions,
  context: CliContext,
): Promise<void> {
  if (word === undefined) throw new CliError("pod, type/name or --filename must be specified");
  if (words.length === 0) throw new CliError("you must specify at least one command for the container");
  if (context.afterDashes === undefined) {
    throw new CliError(
      "exec [POD] [COMMAND] is not supported anymore. Use exec [POD] -- [COMMAND] instead\nSee 'knarr exec -h' for help and examples",
    );
  }
  const connection = await connect(options, context);
  const [pod] = await podsOf(word, connection, context.signal);
  if (pod === undefined) throw new CliError(`no pods found for ${word}`);
  const { phase } = pod.status ?? {};
  if (phase === "Succeeded" || phase === "Failed") {
    throw new CliError(`cannot exec into a container in a completed pod; current phase is ${phase}`);
  }
  const { name, note } = defaultContainer(pod);
  const container = options.container ?? name;
  if (options.container === undefined && note !== undefined) context.stderr.write(note);
  const tty = options.tty === true && context.stdin.isTTY === true;
  if (options.tty === true && !tty) {
    context.stderr.write("Unable to use a TTY - input is not a terminal or the right kind of file\n");
  }
  const exitCode = await runRemoteStreams(
    connection.client,
    objectPath(core.pods, keyOf(pod), "exec"),
    {
      command: words,
      container,
      stdin: options.stdin === true,
      stdout: true,
      stderr: !tty,
      tty,
    },
    context,
  );
  if (exitCode !== 0) throw new RemoteExitError(exitCode);
}
