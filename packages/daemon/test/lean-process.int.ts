/** A process that replaces itself, with an empty compile cache, a filled one, and none. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("lib/lean-main.ts", import.meta.url));
const skip =
  process.platform === "linux" && process.execve !== undefined ? false : "processes can't replace themselves here";
let cache = "";
before(async () => {
  cache = await mkdtemp(join(tmpdir(), "knarr-lean-"));
});
after(() => rm(cache, { recursive: true, force: true }));

interface Seen {
  readonly pid: number;
  readonly flags: readonly string[];
  readonly args: readonly string[];
  readonly arenas?: string;
  readonly trimsAbove?: string;
  readonly hasParser: boolean;
  readonly marks: readonly string[];
}

async function start(env: Record<string, string>, flags: readonly string[] = []): Promise<Seen & { spawned: number }> {
  const { NODE_OPTIONS: _options, NODE_COMPILE_CACHE: _cache, ...rest } = process.env;
  const child = spawn(process.execPath, [...flags, MAIN, "--a", "b c"], {
    env: { ...rest, ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => {
    output += chunk;
  });
  await new Promise((resolve) => child.once("close", resolve));
  return { ...(JSON.parse(output) as Seen), spawned: child.pid ?? 0 };
}

test("limitProcess() and dropParser() leave one small process without a parser when the cache is empty, then full", {
  skip,
}, async () => {
  for (const round of ["empty", "full"]) {
    const seen = await start({ NODE_COMPILE_CACHE: cache });
    assert.equal(seen.pid, seen.spawned, round);
    assert.deepEqual(seen.args, ["--a", "b c"], round);
    const flags = ["--optimize-for-size", "--max-semi-space-size=3", "--heap-growing-percent=40"];
    assert.deepEqual(seen.flags.slice(0, 3), flags, round);
    assert.equal(seen.trimsAbove, "65536", round);
    assert.equal(seen.arenas, "2", round);
    assert.equal(seen.hasParser, false, round);
    assert.deepEqual(seen.marks, [], round);
  }
});

test("limitProcess() keeps what the caller set himself", { skip }, async () => {
  const seen = await start({ NODE_COMPILE_CACHE: cache, MALLOC_ARENA_MAX: "7" }, ["--max-semi-space-size=16"]);
  assert.deepEqual(seen.flags, ["--max-semi-space-size=16"]);
  assert.equal(seen.arenas, "7");
});

test("dropParser() goes on with the parser when there is no cache to do without it", { skip }, async () => {
  const seen = await start({ NODE_COMPILE_CACHE: cache, NODE_DISABLE_COMPILE_CACHE: "1" });
  assert.equal(seen.hasParser, true);
});
