import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { parseLogOptions } from "../core/log-line.ts";
import { readLog } from "./read-log.ts";

const LOG = `2026-01-02T03:04:05.1Z stdout F one
2026-01-02T03:04:05.2Z stderr F two
2026-01-02T03:04:05.3Z stdout F thr`;

const CASES: readonly [query: string, want: string][] = [
  ["", "one\ntwo\nthr"],
  ["tailLines=0", ""],
  ["tailLines=2", "two\nthr"],
  ["stream=Stderr", "two\n"],
  ["limitBytes=6", "one\ntw"],
];
for (const [query, want] of CASES) {
  test(`readLog() shows ${JSON.stringify(want)} of a log that ends within a line for ?${query}`, async () => {
    const folder = await mkdtemp(join(tmpdir(), "knarr-log-"));
    try {
      const path = join(folder, "0.log");
      await writeFile(path, LOG);
      const options = parseLogOptions(new URLSearchParams(query), 0);
      const parts: Buffer[] = [];
      const reading = { ...options, signal: new AbortController().signal, isRunning: async () => false };
      for await (const part of readLog(path, reading)) parts.push(part);
      assert.equal(Buffer.concat(parts).toString(), want);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
}
