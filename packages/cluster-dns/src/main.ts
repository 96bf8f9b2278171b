import { dropParser } from "@knarr/daemon/lean-process.ts";
import { runDaemon } from "@knarr/daemon/run-daemon.ts";
import { flags, loadConfig } from "./config.ts";
import { run } from "./run.ts";

dropParser();

await runDaemon(
  {
    name: "cluster-dns",
    description: "Answers DNS questions about the cluster's Services and pods, and forwards all others.",
    flags,
    run: (values, context) => run(loadConfig(values), context),
  },
  process.argv.slice(2),
);
