/**
 * The kubelet: runs the pods of one node.
 *
 * There is one on every node, so memory counts: a small young generation, and an old one that grows slowly.
 */
import { dropParser, limitProcess } from "@knarr/daemon/lean-process.ts";

limitProcess({ semiSpaceMiB: 1, heapGrowingPercent: 20, smallOverFast: true });

const { runDaemon } = await import("@knarr/daemon/run-daemon.ts");
const { flags, ignoredFlags, loadConfig } = await import("./config.ts");
const { runKubelet } = await import("./run.ts");

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
