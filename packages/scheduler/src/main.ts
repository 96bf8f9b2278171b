/**
 * kube-scheduler's entry: flags in, exit code out.
 *
 * As the API server does, the process first replaces itself (same process id) by one with a smaller young generation, an old
 * one that grows by a third before it is swept, and fewer allocator arenas, which can't be set from inside; a third of the
 * resident memory for a third more processor time. The rest is loaded through Node.js's compile cache.
 */
import { enableCompileCache } from "node:module";
import { homedir } from "node:os";
import { join } from "node:path";

const YOUNG_GENERATION = "--max-semi-space-size";
const isSet = [...process.execArgv, process.env.NODE_OPTIONS ?? ""].some((flag) => flag.includes(YOUNG_GENERATION));
if (!isSet && process.execve !== undefined && process.platform === "linux") {
  const [node = process.execPath, ...rest] = process.argv;
  const flags = [`${YOUNG_GENERATION}=4`, "--heap-growing-percent=30", "--disable-warning=ExperimentalWarning"];
  const env = { MALLOC_ARENA_MAX: "2", ...(process.env as Record<string, string>) };
  process.execve(process.execPath, [node, ...flags, ...process.execArgv, ...rest], env);
}

// Not the default below the shared temporary folder, where others could leave code for us. Without a home there is just no cache.
enableCompileCache(process.env.NODE_COMPILE_CACHE ?? join(homedir(), ".cache", "knarr", "compile-cache"));

const { runDaemon } = await import("@knarr/daemon/run-daemon.ts");
const { flags, ignoredFlags, loadConfig } = await import("./config/config.ts");
const { run } = await import("./run.ts");

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
