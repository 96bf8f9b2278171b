import { runDaemon } from "@knarr/daemon/run-daemon.ts";
import { flags, loadConfig } from "./config.ts";
import { run } from "./run.ts";

await runDaemon(
  {
    name: "local-path",
    description: "Makes, grows and removes volumes that are folders of this node, for claims of its StorageClass.",
    flags,
    run: (values, context) => run(loadConfig(values), context),
  },
  process.argv.slice(2),
);
