/** `knarr up`: a local cluster on this machine, from whatever state it is in. */
import { nodeRuntimes } from "@knarr/cluster/cluster-config.ts";
import { bringUp } from "@knarr/cluster/up.ts";
import type { Command } from "commander";
import { dataDirOf } from "../data-dir.ts";
import { collect } from "../flags.ts";
import { showProgress } from "../phase-progress.ts";
import { type CliContext, CliError, type Verb } from "../verb.ts";

interface UpOptions {
  readonly nodes?: string;
  readonly runtime?: string;
  readonly dataDir?: string;
  readonly loadImage?: readonly string[];
}

export const up: Verb = {
  name: "up",
  register(program, context) {
    program
      .command("up")
      .description("Start a local cluster on this machine (Linux, root)")
      .option("--nodes <n>", "how many nodes; a new cluster has 2")
      .option(
        "--runtime <name>",
        "what runs a new cluster's containers: containerd (the default), or docker: a Docker Engine of each node's own",
      )
      .option("--data-dir <path>", "where the cluster lives (default: $KNARR_DATA_DIR or /var/lib/knarr)")
      .option("--load-image <archives>", "image archives to load into every node", collect)
      .action((_options: unknown, command: Command) => runUp(command.optsWithGlobals<UpOptions>(), context));
  },
};

async function runUp(options: UpOptions, context: CliContext): Promise<void> {
  const nodeCount = options.nodes === undefined ? undefined : Number(options.nodes);
  if (nodeCount !== undefined && !(Number.isInteger(nodeCount) && nodeCount >= 1 && nodeCount <= 100)) {
    throw new CliError(`invalid --nodes ${JSON.stringify(options.nodes)}: must be a whole number between 1 and 100`);
  }
  const runtime = nodeRuntimes.find((name) => name === options.runtime);
  if (runtime === undefined && options.runtime !== undefined) {
    throw new CliError(
      `invalid --runtime ${JSON.stringify(options.runtime)}: must be one of ${nodeRuntimes.join(", ")}`,
    );
  }
  const startedMs = performance.now();
  const config = await bringUp({
    dataDir: dataDirOf(options, context),
    nodeCount,
    runtime,
    loadImages: options.loadImage ?? [],
    env: context.env,
    progress: showProgress(context),
    signal: context.signal,
  });
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
  const kubeconfig = `${config.dataDir}/kubeconfig`;
  context.stdout.write(`
Cluster "${config.name}" with ${config.nodes.length} node(s) is up after ${seconds} s.
Kubeconfig: ${kubeconfig}

Try:
  export KUBECONFIG=${kubeconfig}
  knarr get nodes -o wide        (or: kubectl get nodes -o wide)
  knarr apply -f examples/web.yaml
  knarr status
`);
}
