/**
 * Runs one class of tests: `node scripts/run-tests.ts unit|int|e2e|compose [path-part ...]`.
 *
 * node --test passes when its globs match nothing, so this gate counts files and executed tests and fails on zero.
 * On CI (CI=true) a skipped test fails the run unless its reason begins with "optional:".
 */
import { spawn } from "node:child_process";
import { globSync } from "node:fs";
import { cpus } from "node:os";

const MINUTE = 60_000;

const classes = {
  // Unit tests are pure and share nothing; integration tests bring their own ports and folders; e2e share one cluster.
  unit: {
    globs: ["packages/*/src/**/*.test.ts", "scripts/**/*.test.ts"],
    concurrency: cpus().length,
    timeoutMs: 180_000,
    budgetMs: 15 * MINUTE,
  },
  int: { globs: ["packages/*/test/**/*.int.ts"], concurrency: 1, timeoutMs: 600_000, budgetMs: 50 * MINUTE },
  // On a kernel of their own, under software emulation: `scripts/install-deps --vm` brings what they need.
  vm: { globs: ["packages/*/test/**/*.vm.ts"], concurrency: 1, timeoutMs: 900_000, budgetMs: 60 * MINUTE },
  e2e: {
    globs: ["test/e2e/**/*.e2e.ts"],
    concurrency: 1,
    timeoutMs: 900_000,
    budgetMs: 25 * MINUTE,
    setup: "test/e2e/lib/global-setup.ts",
  },
  // docker compose up on an engine of the test's own, which takes minutes to build its image.
  compose: { globs: ["test/compose/**/*.compose.ts"], concurrency: 1, timeoutMs: 1_800_000, budgetMs: 120 * MINUTE },
} as const;

const [className = "", ...filters] = process.argv.slice(2);
const selected = classes[className as keyof typeof classes];
if (selected === undefined) {
  process.stderr.write(`run-tests: usage: run-tests.ts ${Object.keys(classes).join("|")} [part of a path ...]\n`);
  process.exit(2);
}
const files = globSync([...selected.globs])
  .filter((file) => !file.includes("node_modules"))
  .filter((file) => filters.length === 0 || filters.some((part) => file.includes(part)))
  .sort();
if (files.length === 0) {
  process.stderr.write(`run-tests: no ${className} test file matches\n`);
  process.exit(1);
}

const child = spawn(
  process.execPath,
  [
    `--import=${new URL("test-preload.ts", import.meta.url).href}`,
    "--test",
    `--test-concurrency=${selected.concurrency}`,
    `--test-timeout=${selected.timeoutMs}`,
    // Not --test-force-exit: it ends a file before tests that are registered after an await, and loses the last results of others.
    "--test-reporter=spec",
    "--test-reporter-destination=stdout",
    "--test-reporter=tap",
    "--test-reporter-destination=stderr",
    ...("setup" in selected ? [`--test-global-setup=${selected.setup}`] : []),
    ...files,
  ],
  {
    stdio: ["ignore", "inherit", "pipe"],
    env: { ...process.env, NODE_OPTIONS: "", KNARR_TEST_FILE_LIMIT_MS: String(selected.timeoutMs + MINUTE) },
  },
);
let tap = "";
child.stderr.on("data", (chunk: Buffer) => {
  tap += chunk.toString();
});
// A test's own time limit doesn't end a file whose process goes on; the runner names what still runs when interrupted.
const watchdog = setTimeout(() => {
  process.stderr.write(`run-tests: the ${className} tests did not end in ${selected.budgetMs / MINUTE} minutes\n`);
  child.kill("SIGINT");
  setTimeout(() => child.kill("SIGKILL"), 10_000).unref();
}, selected.budgetMs);
child.on("close", (code, signal) => {
  clearTimeout(watchdog);
  const count = (name: string) => Number(new RegExp(`^# ${name} (\\d+)$`, "m").exec(tap)?.[1] ?? 0);
  const skips = [...tap.matchAll(/^\s*ok \d+ - (.*?) # SKIP ?(.*)$/gm)].filter((m) => !m[2]?.startsWith("optional:"));
  if (code !== 0) process.exit(code ?? (signal === null ? 1 : 128));
  if (count("pass") === 0) fail(`no ${className} test was executed in ${files.length} files`);
  if (process.env.CI === "true" && skips.length > 0) {
    fail(`skipped on CI, where every part must be real: ${skips.map((m) => `${m[1]} (${m[2]})`).join("; ")}`);
  }
});

function fail(why: string): never {
  process.stderr.write(`run-tests: ${why}\n`);
  process.exit(1);
}
