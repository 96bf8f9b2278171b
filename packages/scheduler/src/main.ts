import { runDaemon } from "@knarr/daemon/run-daemon.ts";
import { flags, ignoredFlags, loadConfig } from "./config/config.ts";
import { run } from "./run.ts";

await runDaemon(
  {
    name: "kube-scheduler",
    description: "Binds pods to nodes.",
    flags,
    ignored: ignoredFlags,
    run: (values, context) => run(loadConfig(values), context),
  },
  process.argv.slice(2),
);
