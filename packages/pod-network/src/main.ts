/** pod-network's entry: flags in, exit code out. There is one on every node, with little to do: memory counts. */
import { dropParser, limitProcess } from "@knarr/daemon/lean-process.ts";

limitProcess({ semiSpaceMiB: 1, heapGrowingPercent: 20, smallOverFast: true });

const { runDaemon } = await import("@knarr/daemon/run-daemon.ts");
const { cleanUp } = await import("./clean-up.ts");
const { flags, loadConfig } = await import("./config.ts");
const { run } = await import("./run.ts");

dropParser();

await runDaemon(
  {
    name: "pod-network",
    description: "Connects this node's pods with those of the other nodes: CNI configuration, routes, masquerading.",
    flags,
    run: async (values, context) => {
      const config = loadConfig(values);
      await (config.cleanup ? cleanUp(config, context) : run(config, context));
    },
  },
  process.argv.slice(2),
);
