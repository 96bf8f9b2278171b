/**
 * kube-proxy's entry: flags in, exit code out.
 *
 * There is one on every node, so memory counts: a small young generation, and an old one that grows slowly.
 */
import { dropParser, limitProcess } from "@knarr/daemon/lean-process.ts";

limitProcess({ semiSpaceMiB: 1, heapGrowingPercent: 20, smallOverFast: true });

const { runDaemon } = await import("@knarr/daemon/run-daemon.ts");
const { cleanUp } = await import("./adapters/clean-up.ts");
const { flags, ignored, loadConfig } = await import("./config.ts");
const { run } = await import("./run.ts");

dropParser();

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
