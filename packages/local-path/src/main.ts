/** local-path's entry: flags in, exit code out. There is one on every node, with little to do: memory counts. */
import { dropParser, limitProcess } from "@knarr/daemon/lean-process.ts";

limitProcess({ semiSpaceMiB: 1, heapGrowingPercent: 20, smallOverFast: true });

const { runDaemon } = await import("@knarr/daemon/run-daemon.ts");
const { flags, loadConfig } = await import("./config.ts");
const { run } = await import("./run.ts");

dropParser();

await runDaemon(
  {
    name: "local-path",
    description: "Makes, grows and removes volumes that are folders of this node, for claims of its StorageClass.",
    flags,
    run: (values, context) => run(loadConfig(values), context),
  },
  process.argv.slice(2),
);
