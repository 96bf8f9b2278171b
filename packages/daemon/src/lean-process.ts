/**
 * Makes a daemon's process small: V8's limits and the allocator's, which can't be set from inside, and no TypeScript parser
 * in memory (18 MiB). Both need the process to begin anew, in its own place (same process id, files and environment).
 *
 *   start --flags missing--> replaced --> loads its modules --the parser was needed: cache was cold--> replaced, once
 *                                                           +--> runs
 *
 * Node.js keeps what it parsed and compiled in its compile cache, so that a parser is needed after a change of the sources
 * only. Only main.ts files call this; elsewhere than on Linux, or without a folder for the cache, nothing happens.
 */
import { flushCompileCache, getCompileCacheDir } from "node:module";
import { homedir } from "node:os";
import { join } from "node:path";

export interface LeanLimits {
  /** Half of the young generation at most. Small ones cost processor time where much is short-lived. */
  readonly semiSpaceMiB: number;
  /** By how much the old generation may grow until it is swept again. */
  readonly heapGrowingPercent?: number;
  /** How soon after a burst the heap is made as small as what is in it; V8's 8 and 30 s when absent. */
  readonly shrinkAfterMs?: number;
  /** Of a daemon that is on every node and waits most of the time: less code is kept compiled, and freed memory goes back to the system. */
  readonly smallOverFast?: boolean;
}

const YOUNG_GENERATION = "--max-semi-space-size";
/** In the environment of a process that was replaced because of the parser, so that it never is twice. */
const WARMED = "KNARR_COMPILE_CACHE_WARMED";
const PARSER = "NativeModule internal/deps/amaro/dist/index";

/**
 * What the allocator keeps for later is most of what a burst of work leaves behind. Given at all, these stop it from raising its
 * thresholds as it goes. Source: mallopt(3)
 */
const GIVE_BACK = { MALLOC_TRIM_THRESHOLD_: "65536", MALLOC_MMAP_THRESHOLD_: "32768", MALLOC_TOP_PAD_: "65536" };

/** To be called before anything else is imported. Does not return where it replaces the process. */
export function limitProcess(limits: LeanLimits): void {
  const { semiSpaceMiB, heapGrowingPercent, shrinkAfterMs, smallOverFast = false } = limits;
  const given = [...process.execArgv, process.env.NODE_OPTIONS ?? ""];
  if (given.some((flag) => flag.includes(YOUNG_GENERATION))) return;
  const growth = heapGrowingPercent === undefined ? [] : [`--heap-growing-percent=${heapGrowingPercent}`];
  const shrinking = ["memory-reducer-delay-ms", "gc-memory-reducer-start-delay-ms"];
  const soon = shrinkAfterMs === undefined ? [] : shrinking.map((name) => `--${name}=${shrinkAfterMs}`);
  // Not the default below the shared temporary folder, where others could leave code for us.
  const cache = join(homedir(), ".cache", "knarr", "compile-cache");
  const env = { MALLOC_ARENA_MAX: "2", NODE_COMPILE_CACHE: cache, ...(smallOverFast ? GIVE_BACK : {}) };
  const small = smallOverFast ? ["--optimize-for-size"] : [];
  // Last: V8 lets what favours size set the young generation, too.
  const young = `${YOUNG_GENERATION}=${semiSpaceMiB}`;
  replaceProcess([...small, young, ...growth, ...soon, "--disable-warning=ExperimentalWarning"], env);
}

/** To be called once everything is imported. Does not return where it replaces the process. */
export function dropParser(): void {
  const { [WARMED]: warmed } = process.env;
  delete process.env[WARMED];
  const { moduleLoadList = [] } = process as { moduleLoadList?: readonly string[] };
  if (getCompileCacheDir() === undefined || warmed !== undefined || !moduleLoadList.includes(PARSER)) return;
  flushCompileCache();
  replaceProcess([], { [WARMED]: "1" });
}

function replaceProcess(flags: readonly string[], env: Readonly<Record<string, string>>): void {
  if (process.execve === undefined || process.platform !== "linux") return;
  const [node = process.execPath, ...rest] = process.argv;
  // What the caller's environment says goes first, but for the mark that is ours.
  const own = { ...env, ...(process.env as Record<string, string>) };
  process.execve(process.execPath, [node, ...flags, ...process.execArgv, ...rest], own);
}
