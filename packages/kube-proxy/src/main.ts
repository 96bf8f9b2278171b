/**
 * kube-proxy's entry: flags in, exit code out.
 *
 * There is one on every node, so memory counts: as other daemons here do, the process first replaces itself (same process
 * id) by one with a small young generation, an old one that grows slowly, and fewer allocator arenas, which can't be set
 * from inside. The rest is loaded through Node.js's compile cache.
 */
import { enableCompileCache } from "node:module";
import { homedir } from "node:os";
import { join } from "node:path";

const YOUNG_GENERATION = "--max-semi-space-size";
const isSet = [...process.execArgv, process.env.NODE_OPTIONS ?? ""].some((flag) => flag.includes(YOUNG_GENERATION));
if (!isSet && process.execve !== undefined && process.platform === "linux") {
  const [node = process.execPath, ...rest] = process.argv;
  const flags = [`${YOUNG_GENERATION}=1`, "--heap-growing-percent=20", "--disable-warning=ExperimentalWarning"];
  const env = { MALLOC_ARENA_MAX: "2", ...(process.env as Record<string, string>) };
  process.execve(process.execPath, [node, ...flags, ...process.execArgv, ...rest], env);
}

// Not the default below the shared temporary folder, where others could leave code for us. Without a home there is just no cache.
enableCompileCache(process.env.NODE_COMPILE_CACHE ?? join(homedir(), ".cache", "knarr", "compile-cache"));

const { runDaemon } = await import("@knarr/daemon/run-daemon.ts");
const { cleanUp } = await import("./adapters/clean-up.ts");
const { flags, ignored, loadConfig } = await import("./config.ts");
const { run } = await import("./run.ts");

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
