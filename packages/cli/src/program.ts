/** The command line as a whole: global flags, verbs, and what a failure prints. */
import { Command, CommanderError } from "commander";
import { describeError, exitCodeOf } from "./errors.ts";
import type { CliContext } from "./verb.ts";
import { verbs } from "./verbs/index.ts";

/** Runs one invocation and returns its exit code. */
export async function runCli(argv: readonly string[], context: CliContext): Promise<number> {
  const program = new Command("knarr")
    .description("knarr runs and controls small Kubernetes clusters.")
    .option("--kubeconfig <path>", "kubeconfig file (default: $KUBECONFIG, ~/.kube/config)")
    .option("--context <name>", "context of the kubeconfig")
    .option("-n, --namespace <name>", "namespace of the request")
    .option("-s, --server <url>", "address of the API server")
    .option("--token <token>", "bearer token")
    .option("--request-timeout <time>", "how long one request may take, 0 for no limit", "0")
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void context.stdout.write(text),
      writeErr: (text) => void context.stderr.write(text),
    })
    .showSuggestionAfterError();
  for (const verb of verbs) verb.register(program, context);
  try {
    await program.parseAsync([...argv], { from: "user" });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode;
    if (context.signal.aborted) return 130;
    context.stderr.write(`${describeError(error)}\n`);
    return exitCodeOf(error);
  }
}
