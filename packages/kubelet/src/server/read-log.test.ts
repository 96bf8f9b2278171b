import assert from "node:assert/strict";
import { appendFile, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
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

test("readLog() reads a rotated log to its end before it goes on with the next, while the runtime changes over", async () => {
  const folder = await mkdtemp(join(tmpdir(), "knarr-log-"));
  try {
    const [path, old] = [join(folder, "0.log"), join(folder, "0.log.old")];
    const line = (word: string) => `2026-01-02T03:04:05.1Z stdout F ${word}\n`;
    await writeFile(path, line("one"));
    // Asked whenever all is read that is there.
    const steps = [
      async () => {
        await rename(path, old);
        await writeFile(path, "");
      },
      // The new file is there, and the runtime has not let go of the old one.
      async () => {
        await appendFile(old, line("two"));
      },
      async () => {
        await appendFile(path, line("three"));
      },
    ];
    const isRunning = async () => {
      const step = steps.shift();
      await step?.();
      return step !== undefined;
    };
    const options = parseLogOptions(new URLSearchParams("follow=true"), 0);
    const parts: Buffer[] = [];
    for await (const part of readLog(path, { ...options, signal: new AbortController().signal, isRunning }))
      parts.push(part);
    assert.equal(Buffer.concat(parts).toString(), "one\ntwo\nthree\n");
  } finally {
    await rm(folder, { recursive: true });
  }
});
