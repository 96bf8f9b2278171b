import { dropParser } from "@knarr/daemon/lean-process.ts";
import { runDaemon } from "@knarr/daemon/run-daemon.ts";
import { cleanUp } from "./clean-up.ts";
import { flags, loadConfig } from "./config.ts";
import { run } from "./run.ts";

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
