#!/usr/bin/env node
/** kube-controller-manager: flags, then run. */
import { setFlagsFromString } from "node:v8";
import { runDaemon } from "@knarr/daemon/run-daemon.ts";
import { flags } from "./config.ts";
import { ignoredFlags } from "./ignored-flags.ts";
import { run } from "./run.ts";

// Bursts of short-lived objects would make the young generation, and with it the process, grow for good: 40 MB of 1,000 pods.
setFlagsFromString("--semi-space-growth-factor=1");

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
