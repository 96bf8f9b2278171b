/** `knarr image load`: image archives into every node's runtime of the local cluster. */
import { loadImages } from "@knarr/cluster/load-images.ts";
import type { Command } from "commander";
import { dataDirOf } from "../data-dir.ts";
import { collect } from "../flags.ts";
import type { CliContext, Verb } from "../verb.ts";

interface ImageOptions {
  readonly dataDir?: string;
  readonly node?: readonly string[];
}

export const image: Verb = {
  name: "image",
  register(program, context) {
    program
      .command("image")
      .description("Bring images to the nodes of the local cluster")
      .command("load")
      .description("Load image archives (docker save, podman save, OCI) into every node's runtime")
      .argument("<archive...>", "tar files")
      .option("--node <name>", "only this node, can be repeated", collect)
      .option("--data-dir <path>", "where the cluster lives (default: $KNARR_DATA_DIR or /var/lib/knarr)")
      .action((archives: string[], _options: unknown, command: Command) =>
        runLoad(archives, command.optsWithGlobals<ImageOptions>(), context),
      );
  },
};

async function runLoad(archives: readonly string[], options: ImageOptions, context: CliContext): Promise<void> {
  const { stdout } = context;
  const isTerminal = stdout.isTTY === true;
  if (isTerminal) stdout.write(`· loading ${archives.length} archive(s)`);
  try {
    await loadImages({
      dataDir: dataDirOf(options, context),
      archives,
      nodes: options.node ?? [],
      env: context.env,
      signal: context.signal,
      loaded: (archive, node, done, total) => {
        if (isTerminal) stdout.write("\r\x1b[K");
        stdout.write(`✔ ${archive} in ${node} (${done}/${total})\n`);
      },
    });
  } finally {
    if (isTerminal) stdout.write("\r\x1b[K");
  }
}
