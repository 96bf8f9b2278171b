import { runDaemon } from "@knarr/daemon/run-daemon.ts";
import { cleanUp } from "./adapters/clean-up.ts";
import { flags, ignored, loadConfig } from "./config.ts";
import { run } from "./run.ts";

await runDaemon(
  {
    name: "kube-proxy",
    description: "Makes Services reachable on this node by writing packet filter rules.",
    flags,
    ignored,
    run: async (values, context) => {
      const config = loadConfig(values);
      await (config.cleanup ? cleanUp(context) : run(config, context));
    },
  },
  process.argv.slice(2),
);
