/**
 * kube-scheduler's entry: flags in, exit code out.
 *
 * A smaller young generation, and an old one that grows by a third before it is swept: a third of the resident memory for
 * a third more processor time.
 */
import { dropParser, limitProcess } from "@knarr/daemon/lean-process.ts";

limitProcess({ semiSpaceMiB: 4, heapGrowingPercent: 30 });

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
