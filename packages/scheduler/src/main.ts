/**
 * kube-scheduler's entry: flags in, exit code out.
 *
 * A small young generation, and an old one that grows by a fifth before it is swept: what lives through a burst of bindings
 * (requests, events, old versions of pods) is garbage soon, and would otherwise keep the heap twice as large as what is in it.
 */
import { dropParser, limitProcess } from "@knarr/daemon/lean-process.ts";

limitProcess({ semiSpaceMiB: 2, heapGrowingPercent: 20, shrinkAfterMs: 500 });

const { runDaemon } = await import("@knarr/daemon/run-daemon.ts");
const { flags, ignoredFlags, loadConfig } = await import("./config/config.ts");
const { run } = await import("./run.ts");

dropParser();

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
