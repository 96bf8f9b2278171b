/** kube-apiserver's entry: flags in, exit code out. */
import { runDaemon } from "@knarr/daemon/run-daemon.ts";
import { flags, ignoredFlags, loadConfig } from "./config.ts";
import { runApiserver } from "./run.ts";

await runDaemon(
  {
    name: "kube-apiserver",
    description: "Serves the Kubernetes API over HTTPS from etcd.",
    flags,
    ignored: ignoredFlags,
    run: (values, context) => runApiserver(loadConfig(values), context),
  },
  process.argv.slice(2),
);
