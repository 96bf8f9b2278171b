#!/usr/bin/env node
/** kube-controller-manager: flags, then run. */
import { runDaemon } from "@knarr/daemon/run-daemon.ts";
import { flags, ignoredFlags } from "./config.ts";
import { run } from "./run.ts";

await runDaemon(
  {
    name: "kube-controller-manager",
    description: "Runs the control loops of a cluster: what is desired, made real.",
    flags,
    ignored: ignoredFlags,
    run,
  },
  process.argv.slice(2),
);
