/** The kubelet: runs the pods of one node. */
import { dropParser } from "@knarr/daemon/lean-process.ts";
import { runDaemon } from "@knarr/daemon/run-daemon.ts";
import { flags, ignoredFlags, loadConfig } from "./config.ts";
import { runKubelet } from "./run.ts";

dropParser();

const argv = process.argv.slice(2);
await runDaemon(
  {
    name: "kubelet",
    description: "Runs the pods that are bound to this node through a container runtime.",
    flags,
    ignored: ignoredFlags,
    run: async (values, daemon) => runKubelet(await loadConfig(values, argv), daemon),
  },
  argv,
);
